"""Changes a customer's address: asked for on the page of their data, confirmed by a link mailed to the new address.

Fetching the link changes nothing, because scanners fetch links; its button gives the customer the new address.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mailshot.feedback.address_change import change_address
from mailshot.profile import address
from mailshot.profile.address import Fault
from mailshot.store import address_changes, privacy
from mailshot.store.address_changes import NewAddress
from mailshot.store.engine import Connection
from mailshot.tokens import Purpose
from mailshot.web import forms
from mailshot.web.preference_form import MailLink
from mailshot.web.privacy import SESSION, authorise
from mailshot.web.site import choose_language, site_of, token_of, verified_ids

FIELD = "address"


async def ask(request: Request) -> Response:
    """Show the form for another address; once it is filled in, have a link mailed there."""
    site, (link, form, check) = site_of(request), await authorise(request)
    values: dict[str, Any] = {"url": f"/d/{token_of(request)}", "session": str(form[SESSION]), "now": link.person.email}
    values[FIELD] = str(form.get(FIELD, "")).strip()
    new = _new_address(link.mail, form)
    if isinstance(new, str):
        return site.page(request, "address.html", 422 if new else 200, **values, state="ask", problem=new)
    at = site.clock()

    def write(connection: Connection) -> datetime | None:
        check(connection)
        tag = link.mail.language.tag
        return address_changes.ask(connection, link.person.customer_id, link.mail.run_id, new, tag, at)

    again = await site.group.do(write)
    values |= {"again": link.mail.moment(again)} if again else {}
    return site.page(request, "address.html", **values, state="later" if again else "sent")


async def show_confirmation(request: Request) -> Response:
    """Show the button that confirms the new address."""
    site, ids = site_of(request), await _ids(request)
    change = await site.read(lambda connection: _open_change(request, connection, ids))
    if change is None:
        return site.page(request, "address_ended.html", 410)
    return site.page(request, "address_link.html", url=f"/a/{token_of(request)}", address=change["new_email"])


async def confirm(request: Request) -> Response:
    """Give the customer the new address. Repeating it changes nothing more."""
    site, ids = site_of(request), await _ids(request)
    forms.reject_foreign(request)
    await forms.read_form(request)

    def write(connection: Connection) -> bool:
        change, at = _open_change(request, connection, ids), site.clock()
        return change is not None and change_address(connection, change, at)

    if not await site.group.do(write):
        return site.page(request, "address_ended.html", 410)
    return site.page(request, "address_changed.html")


def _new_address(link: MailLink, form: FormData) -> NewAddress | str:
    """Return the address that was asked for, or what is wrong with it; "" if none was entered yet."""
    if FIELD not in form:
        return ""
    normal, gettext = address.normalise(str(form[FIELD])), link.language.gettext
    if isinstance(normal, Fault):
        return gettext("Please write a whole e-mail address, such as name@example.com.")
    if normal.smtputf8:
        return gettext("Please write an address without accents or umlauts before the @: we cannot send to others.")
    if link.site.keys.is_fingerprint(link.mailbox, address.fold_mailbox(normal.email)):
        return gettext("That is the address we have already.")
    return NewAddress(normal.email, address.hash_address(link.site.settings.address_key, normal.email))


async def _ids(request: Request) -> tuple[int, int]:
    number, mailbox = await verified_ids(request, Purpose.address, 2)
    return number, mailbox


def _open_change(request: Request, connection: Connection, ids: tuple[int, int]) -> Any | None:
    """Return the change that a link confirms, None when it is over. Raises 410 when the customer was erased."""
    site, (number, mailbox) = site_of(request), ids
    choose_language(request, address_changes.language_of(connection, number))
    change = address_changes.find_open(connection, number, site.clock())
    if change is None:
        return None
    person = privacy.person(connection, change["customer_id"])
    if person is None or person.erased:
        raise HTTPException(410)
    return change if site.keys.is_fingerprint(mailbox, address.fold_mailbox(change["new_email"])) else None


# `:path` and `tail` accept what mail programs append to a link.
ROUTES = [
    Route("/d/{token}/address{tail:path}", ask, methods=["POST"]),
    Route("/a/{token:path}", show_confirmation),
    Route("/a/{token:path}", confirm, methods=["POST"]),
]
