"""A customer's own data, to see, correct, download and erase: only for the owner of the inbox.

Access needs a link mailed to the address on file. Fetching it changes nothing, because scanners fetch links; its button
uses it up and opens the page. Requests of that page are authorised by a `session` token in its forms, which is in no
address and which ends an hour after the link was requested, or when the customer's address changes.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from mailshot.feedback import preferences
from mailshot.feedback.preference_controls import OWNER, CurrentPreferences
from mailshot.store import confirmations, privacy, scrubbing
from mailshot.store.engine import Connection, Store
from mailshot.tokens import Purpose
from mailshot.web import forms, preference_form
from mailshot.web.own_profile import OwnProfile
from mailshot.web.preference_form import Check, MailLink, Page
from mailshot.web.readable_export import ReadableExport
from mailshot.web.site import choose_language, language_of, site_of, token_of, verified_ids

SOURCE = "preference page"
CONFIRM, WORD = "confirm", "erase"
SESSION = "session"
CHUNK_BYTES = 64 * 1024
#: Writes the data of the customer with an id.
Write = Callable[[Connection, int, IO[bytes]], None]


class LinkEnded(Exception):
    """A valid link to one's own data that was used or is too old. `again` is the page to request another, if known."""

    def __init__(self, again: str = "") -> None:
        super().__init__(again)
        self.again = again


@dataclass(frozen=True, slots=True)
class DataLink:
    """A valid link: the request it belongs to, the customer it was mailed to, and whether it was opened."""

    #: The number of the request.
    id: int
    mail: MailLink
    person: privacy.PersonalData
    opened: bool


async def show_open_button(request: Request) -> Response:
    """Show the button that opens the data. Raises LinkEnded for a used link."""
    site, ids = site_of(request), await _ids(request)
    link = await site.read(lambda connection: _look(request, connection, ids))
    if link.opened:
        raise LinkEnded(_again(link))
    return site.page(request, "data_link.html", url=_address(request))


async def open_link(request: Request) -> Response:
    """Use up the link and show the owner's page."""
    site, ids = site_of(request), await _ids(request)
    forms.reject_foreign(request)
    await forms.read_form(request)

    def write(connection: Connection) -> DataLink:
        link = _look(request, connection, ids)
        if not confirmations.use_link(connection, link.id, site.clock()):
            raise LinkEnded(_again(link))
        return link

    return await _data_page(request, await site.group.do(write))


async def show_own_data(request: Request) -> Response:
    """Show the owner's page again: in another language, or on the way back from a page below."""
    link, _, _ = await authorise(request)
    return await _data_page(request, link)


async def save_own_data(request: Request) -> Response:
    """Save everything at once, and show the page with what is stored then."""
    link, form, check = await authorise(request)
    saved = await preference_form.save_form(link.mail, form, OWNER, check)
    return await _data_page(request, link, saved if saved.problems else None, saved=not saved.problems)


async def export_data(request: Request) -> Response:
    """Return every row about the customer as a JSON file."""
    return await _export(request, privacy.write_export, "my-data.json", "application/json")


async def export_readable(request: Request) -> Response:
    """Return what is stored about the customer as an HTML file to read."""

    def write(connection: Connection, customer_id: int, file: IO[bytes]) -> None:
        ReadableExport(site_of(request).settings, language_of(request)).write(connection, customer_id, file)

    return await _export(request, write, "my-data.html", "text/html")


async def _export(request: Request, write: Write, name: str, media_type: str) -> Response:
    """Return a file for the customer, written in a thread of its own."""
    site, (link, _, check) = site_of(request), await authorise(request)
    customer_id = link.person.customer_id
    if customer_id in site.exporting:
        raise HTTPException(429, "Your download is already being prepared.", {"Retry-After": "10"})
    site.settings.limits.count_request(site.settings.limits.exports, "export", str(customer_id))
    site.exporting.add(customer_id)
    try:
        async with site.exports:
            file = await asyncio.to_thread(_written, site.store, customer_id, check, write)
    finally:
        site.exporting.discard(customer_id)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_chunks(file), media_type=media_type, headers=headers)


async def erase_data(request: Request) -> Response:
    """Explain what erasing does; erase everything once the customer has ticked the box."""
    site, (link, form, check) = site_of(request), await authorise(request)
    if form.get(CONFIRM) != WORD:
        unconfirmed = CONFIRM in form or "asked" in form
        values = {"url": _address(request), "session": str(form[SESSION]), "unconfirmed": unconfirmed}
        return site.page(request, "erase.html", 422 if unconfirmed else 200, **values)
    at, customer_id = site.clock(), link.person.customer_id

    def write(connection: Connection) -> bool:
        check(connection)
        return privacy.erase(connection, customer_id, site.settings.address_key, SOURCE, at)

    await site.group.do(write)
    await asyncio.to_thread(scrubbing.try_now, site.store, at)
    return site.page(request, "erased.html")


async def _ids(request: Request) -> tuple[int, int]:
    """Return the number of the request and the fingerprint of the address that the link in the path carries."""
    number, mailbox = await verified_ids(request, Purpose.confirm, 2)
    return number, mailbox


def _look(request: Request, connection: Connection, ids: tuple[int, int]) -> DataLink:
    """Return what a link leads to now, and choose the customer's language.

    Raises LinkEnded when it is too old, 404 when the address has changed.
    """
    site, (number, mailbox) = site_of(request), ids
    row = confirmations.find_valid(connection, number, site.clock())
    if row is None:
        raise LinkEnded
    person = privacy.person(connection, row["customer_id"])
    language = choose_language(request, person.language if person else None)
    mail = MailLink(site, row["run_id"], row["customer_id"], mailbox, language)
    return DataLink(number, mail, mail.check(connection), row["opened_at"] is not None)


async def authorise(request: Request) -> tuple[DataLink, FormData, Check]:
    """Return the link whose page posted a form, the form, and a check to repeat in the transaction that writes.

    Raises LinkEnded without a valid session. The form is read first: it may take its time, and data changes meanwhile.
    """
    site, ids = site_of(request), await _ids(request)
    forms.reject_foreign(request)
    form = await forms.read_form(request)
    session = site.keys.verify(Purpose.session, str(form.get(SESSION, "")))

    def check(connection: Connection) -> DataLink:
        link = _look(request, connection, ids)
        if not link.opened or session != ids:
            raise LinkEnded(_again(link))
        return link

    return await site.read(check), form, check


async def _data_page(request: Request, link: DataLink, page: Page | None = None, saved: bool = False) -> Response:
    """Show the owner's page: `page` as it was posted when that had problems, else with what is stored now."""
    site, customer_id = site_of(request), link.person.customer_id

    def query(connection: Connection) -> CurrentPreferences:
        return preferences.current_preferences(connection, customer_id, site.clock())

    current = await site.read(query)
    page = page or preference_form.page_of(site, current, OWNER)
    profile = OwnProfile(site.settings, link.mail.language)
    owner = {
        "person": link.person,
        "cards": profile.cards(current),
        "facts": list(profile.fact_lines(current.facts)),
        "fact_fields": profile.fact_fields(page.held),
        "session": site.keys.sign(Purpose.session, link.id, link.mail.mailbox),
    }
    values = preference_form.template_values(link.mail, page)
    status = 422 if page.problems else 200
    return site.page(request, "preferences.html", status, **values, saved=saved, url=_address(request), owner=owner)


def _again(link: DataLink) -> str:
    ids = (link.mail.run_id, link.mail.customer_id, link.mail.mailbox)
    return f"/p/{link.mail.site.keys.sign(Purpose.preferences, *ids)}/data"


def _address(request: Request) -> str:
    return f"/d/{token_of(request)}"


def _written(store: Store, customer_id: int, check: Check, write: Write) -> IO[bytes]:
    """Write all data of a customer into an unnamed file, so that a slow client keeps no transaction open."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 (closed once it is sent)
    with store.read() as connection:
        check(connection)
        write(connection, customer_id, file)
    file.seek(0)
    return file


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


# `:path` and `tail` accept what mail programs append to a link. The longer paths must come first.
ROUTES = [
    Route("/d/{token}/show{tail:path}", show_own_data, methods=["POST"]),
    Route("/d/{token}/save{tail:path}", save_own_data, methods=["POST"]),
    Route("/d/{token}/export{tail:path}", export_data, methods=["POST"]),
    Route("/d/{token}/readable{tail:path}", export_readable, methods=["POST"]),
    Route("/d/{token}/erase{tail:path}", erase_data, methods=["POST"]),
    Route("/d/{token:path}", show_open_button),
    Route("/d/{token:path}", open_link, methods=["POST"]),
]
