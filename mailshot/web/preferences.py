"""The preference page of a mail: topics and answers can be changed, and a link to one's own data asked for.

Whoever has the mail opens this page, so it shows nothing about the customer but the topics they get.
"""

from __future__ import annotations

import re
from datetime import datetime

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from mailshot.facts import locales
from mailshot.feedback.preferences import MAIL
from mailshot.store import confirmations
from mailshot.store.engine import Connection
from mailshot.tokens import Purpose
from mailshot.web import forms, preference_form, site
from mailshot.web.preference_form import MailLink, Page
from mailshot.web.site import Site

SEVEREST = 422
# The pages below this one, of today and of old: a form posted there is never one of preferences.
_BELOW = re.compile(r"/(data|export|erase)")


async def page(request: Request) -> Response:
    """Show the topics, and the questions without the answers."""
    return _shown(request, await preference_form.fresh(await _link(request), MAIL))


async def save(request: Request) -> Response:
    """Save everything at once, then lead back to the page."""
    if _BELOW.search(request.path_params["token"]):
        raise HTTPException(405)
    link = await _link(request)
    forms.refuse_foreign(request)
    saved = await preference_form.save(link, await forms.read(request), MAIL)
    return _shown(request, saved) if saved.problems else RedirectResponse(f"{_address(request)}?saved=1", 303)


async def data(request: Request) -> Response:
    """Say how to get at one's own data, with the button that asks for the link."""
    link = await _link(request)
    await link.here.read(link.check)
    return link.here.page("data.html", here=_address(request), asked=None)


async def ask(request: Request) -> Response:
    """Have a link mailed to the address on file; the page says the same whatever that address is."""
    link = await _link(request)
    forms.refuse_foreign(request)
    await forms.read(request)
    here, at = link.here, link.here.clock()

    def apply(connection: Connection) -> datetime | None:
        link.check(connection)
        return confirmations.ask(connection, link.customer_id, link.run_id, at)

    again = await here.group.do(apply)
    moment = _moment(here, again) if again else ""
    return here.page("data.html", here=_address(request), asked=not again, again=moment, contact=here.contact)


async def _link(request: Request) -> MailLink:
    return MailLink(site.of(request), *await site.ids(request, Purpose.preferences, 3))


def _moment(here: Site, at: datetime) -> str:
    local = at.astimezone(here.zone)
    return f"{locales.LocaleFormat(locales.ENGLISH, here.zone, here.language).date(local)} {local:%H:%M %Z}"


def _shown(request: Request, shown: Page) -> Response:
    here = site.of(request)
    words = preference_form.words(here, shown)
    saved = "saved" in request.query_params and not shown.problems
    status = SEVEREST if shown.problems else 200
    return here.page("preferences.html", status, **words, saved=saved, here=_address(request), owner=None)


def _address(request: Request) -> str:
    return f"/p/{site.token(request)}"


# A path, for a slash glued to the link is no other page. The pages below this one come first, with a tail for the same.
ROUTES = [
    Route("/p/{token}/data{tail:path}", data),
    Route("/p/{token}/data{tail:path}", ask, methods=["POST"]),
    Route("/p/{token:path}", page),
    Route("/p/{token:path}", save, methods=["POST"]),
]
