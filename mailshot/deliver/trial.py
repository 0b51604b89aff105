"""Owns handing one letter to the server outside any run; refuses the ledger: a test mail counts for nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from mailshot.deliver.smtp import Connection, Parcel, Server
from mailshot.deliver.verdict import Verdict
from mailshot.render.letter import Letter

MARK = "[Test] "


def send(server: Server, letter: Letter, to: str) -> Verdict:
    """Send a letter to another address, marked as a test, and return the server's verdict. Raises Unavailable."""
    return asyncio.run(_send(server, letter, to))


def greet(server: Server) -> None:
    """Connect and take leave. Raises Unavailable with what the server said."""

    async def meet() -> None:
        await (await Connection.open(server)).quit()

    asyncio.run(meet())


async def _send(server: Server, letter: Letter, to: str) -> Verdict:
    connection = await Connection.open(server)
    marked = replace(letter.rendered, subject=MARK + letter.rendered.subject)
    addressed = replace(letter, rendered=marked, envelope=replace(letter.envelope, to_address=to, to_name=""))
    parcel = Parcel(letter.envelope_from, to, addressed.data(connection.eight_bit))
    verdict = await connection.offer(parcel) or await connection.release()
    await connection.quit()
    return verdict
