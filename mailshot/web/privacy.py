"""A customer's own data, for the owner of the inbox alone: to see, correct, take away and erase.

The way in is a link mailed to the address on file. Fetching it changes nothing, for scanners fetch links; its button
uses it up and opens the page. What the page asks for then is authorised by a `session` token in its forms, which no
address carries, and which ends an hour after the link was asked for, or when the address changes.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from mailshot.feedback import preferences
from mailshot.feedback.preferences import OWNER, CurrentPreferences
from mailshot.store import confirmations, privacy, profiles, scrubbing
from mailshot.store.engine import Connection, Store
from mailshot.tokens import Purpose
from mailshot.web import forms, preference_form, site
from mailshot.web.preference_form import Check, MailLink, Page
from mailshot.web.site import Site

SOURCE = "preference page"
CONFIRM, WORD = "confirm", "erase"
SESSION = "session"
CHUNK_BYTES = 64 * 1024


class LinkEnded(Exception):
    """A genuine link to one's own data that was used, or is too old. `again` is where to ask for another."""

    def __init__(self, again: str = "") -> None:
        super().__init__(again)
        self.again = again


@dataclass(frozen=True, slots=True)
class DataLink:
    """A genuine link: which request it belongs to, whom it was mailed to, and whether it was opened."""

    id: int
    mail: MailLink
    person: privacy.PersonalData
    opened: bool


async def page(request: Request) -> Response:
    """Show the button that opens the data; a link that was used says so."""
    here, ids = site.of(request), await _ids(request)
    link = await here.read(lambda connection: _look(here, connection, ids))
    if link.opened:
        raise LinkEnded(_again(here, link))
    return here.page("data_link.html", here=_address(request))


async def open_data(request: Request) -> Response:
    """Use up the link and show the owner's page."""
    here, ids = site.of(request), await _ids(request)
    forms.refuse_foreign(request)
    await forms.read(request)

    def apply(connection: Connection) -> DataLink:
        link = _look(here, connection, ids)
        if not confirmations.open_once(connection, link.id, here.clock()):
            raise LinkEnded(_again(here, link))
        return link

    return await _shown(request, await here.group.do(apply))


async def save(request: Request) -> Response:
    """Save everything at once, and show the page as it stands then."""
    link, form, check = await _owner(request)
    saved = await preference_form.save(link.mail, form, OWNER, check)
    return await _shown(request, link, saved if saved.problems else None, saved=not saved.problems)


async def export(request: Request) -> Response:
    """Hand out every row held about the customer as a JSON file, made in a thread of its own."""
    here, (link, _, check) = site.of(request), await _owner(request)
    customer_id = link.person.customer_id
    if customer_id in here.exporting:
        raise HTTPException(429, "Your download is being made already.")
    here.rates.take(here.rates.exports, "export", str(customer_id))
    here.exporting.add(customer_id)
    try:
        async with here.exports:
            file = await asyncio.to_thread(_written, here.store, customer_id, check)
    finally:
        here.exporting.discard(customer_id)
    name = {"Content-Disposition": 'attachment; filename="my-data.json"'}
    return StreamingResponse(_chunks(file), media_type="application/json", headers=name)


async def erase(request: Request) -> Response:
    """Say what erasing means; erase everything once the customer ticked that they mean it."""
    here, (link, form, check) = site.of(request), await _owner(request)
    if form.get(CONFIRM) != WORD:
        unconfirmed = CONFIRM in form or "asked" in form
        words = {"here": _address(request), "session": str(form[SESSION]), "unconfirmed": unconfirmed}
        return here.page("erase.html", 422 if unconfirmed else 200, **words)
    at, customer_id = here.clock(), link.person.customer_id

    def apply(connection: Connection) -> bool:
        check(connection)
        return privacy.erase(connection, customer_id, here.address_key, SOURCE, at)

    await here.group.do(apply)
    await asyncio.to_thread(scrubbing.try_now, here.store, at)
    return here.page("erased.html")


async def _ids(request: Request) -> tuple[int, int]:
    """Return the number and the fingerprint of the address of the link in the path."""
    number, mailbox = await site.ids(request, Purpose.confirm, 2)
    return number, mailbox


def _look(here: Site, connection: Connection, ids: tuple[int, int]) -> DataLink:
    """Return what a link leads to now. Raises LinkEnded for one that is too old, 404 once the address is another."""
    number, mailbox = ids
    found = confirmations.get(connection, number, here.clock())
    if found is None:
        raise LinkEnded
    mail = MailLink(here, found["run_id"], found["customer_id"], mailbox)
    return DataLink(number, mail, mail.check(connection), found["opened_at"] is not None)


async def _owner(request: Request) -> tuple[DataLink, FormData, Check]:
    """Return the link whose page posted a form, the form, and a check that it is still good when the form counts.

    Raises LinkEnded without its session. The form comes first: it may take its time, and things change meanwhile.
    """
    here, ids = site.of(request), await _ids(request)
    forms.refuse_foreign(request)
    form = await forms.read(request)
    session = here.keys.read(Purpose.session, str(form.get(SESSION, "")))

    def check(connection: Connection) -> DataLink:
        link = _look(here, connection, ids)
        if not link.opened or session != ids:
            raise LinkEnded(_again(here, link))
        return link

    return await here.read(check), form, check


async def _shown(request: Request, link: DataLink, page: Page | None = None, saved: bool = False) -> Response:
    """Show the owner's page: as it was posted when that had problems, else as the customer stands now."""
    here, customer_id = site.of(request), link.person.customer_id

    def look(connection: Connection) -> tuple[CurrentPreferences, dict[int, dict[str, Any]]]:
        return preferences.standing(connection, customer_id), profiles.facts_of(connection, [customer_id])

    standing, held = await here.read(look)
    page = page or preference_form.as_it_stands(here, standing, OWNER)
    owner = {
        "person": link.person,
        "cards": preference_form.cards(here, standing),
        "facts": list(preference_form.facts(here, held.get(customer_id, {}))),
        "session": here.keys.mint(Purpose.session, link.id, link.mail.mailbox),
    }
    words = preference_form.words(here, page)
    status = 422 if page.problems else 200
    return here.page("preferences.html", status, **words, saved=saved, here=_address(request), owner=owner)


def _again(here: Site, link: DataLink) -> str:
    ids = (link.mail.run_id, link.mail.customer_id, link.mail.mailbox)
    return f"/p/{here.keys.mint(Purpose.preferences, *ids)}/data"


def _address(request: Request) -> str:
    return f"/d/{site.token(request)}"


def _written(store: Store, customer_id: int, check: Check) -> IO[bytes]:
    """Write all data of a customer into a nameless file: a slow reader must keep no transaction open."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 (closed once it is sent)
    with store.read() as connection:
        check(connection)
        for number, (table, rows) in enumerate(privacy.export(connection, customer_id)):
            file.write(f'{"," if number else "{"}\n "{table}": ['.encode())
            for turn, row in enumerate(rows):
                line = json.dumps(row, ensure_ascii=False)
                file.write(f"{',' if turn else ''}\n  {line}".encode("utf-8", "replace"))
            file.write(b"\n ]")
    file.write(b"\n}\n")
    file.seek(0)
    return file


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


# Tails and paths, for what is glued to the address of a page must not lead elsewhere.
ROUTES = [
    Route("/d/{token}/save{tail:path}", save, methods=["POST"]),
    Route("/d/{token}/export{tail:path}", export, methods=["POST"]),
    Route("/d/{token}/erase{tail:path}", erase, methods=["POST"]),
    Route("/d/{token:path}", page),
    Route("/d/{token:path}", open_data, methods=["POST"]),
]
