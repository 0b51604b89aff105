"""Owns handing one letter to the server outside any run; refuses the ledger: a test mail counts for nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from mailshot.deliver.smtp import Connection, MailObject, Server
from mailshot.deliver.verdict import Outcome
from mailshot.render.letter import OutgoingMail

MARK = "[Test] "


def send_test(server: Server, letter: OutgoingMail, to: str) -> Outcome:
    """Send a letter to another address, marked as a test, and return the server's verdict. Raises Unavailable."""
    return asyncio.run(_send(server, letter, to))


def check_server(server: Server) -> None:
    """Connect and take leave. Raises Unavailable with what the server said."""

    async def meet() -> None:
        await (await Connection.open(server)).quit()

    asyncio.run(meet())


async def _send(server: Server, letter: OutgoingMail, to: str) -> Outcome:
    connection = await Connection.open(server)
    marked = replace(letter.rendered, subject=MARK + letter.rendered.subject)
    addressed = replace(letter, rendered=marked, envelope=replace(letter.envelope, to_address=to, to_name=""))
    parcel = MailObject(letter.envelope_from, to, addressed.data(connection.eight_bit))
    verdict = await connection.send_body(parcel) or await connection.send_dot()
    await connection.quit()
    return verdict
