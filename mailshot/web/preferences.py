"""The preference page of a mail, where topics and answers can be changed and a link to one's own data requested.

Anyone who has the mail can open this page, so it shows nothing about the customer but the topics they get.
"""

from __future__ import annotations

import re
from datetime import datetime

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from mailshot.feedback.preference_controls import MAIL
from mailshot.store import confirmations
from mailshot.store.engine import Connection
from mailshot.tokens import Purpose
from mailshot.web import forms, preference_form
from mailshot.web.preference_form import MailLink, Page
from mailshot.web.site import token_of

UNPROCESSABLE = 422
# Pages below this one, now and in old versions: a form posted there is never the preference form.
_BELOW = re.compile(r"/(data|export|erase)")


async def show_preferences(request: Request) -> Response:
    """Show the topics, and the questions without the answers."""
    link = await preference_form.open_mail_link(request, Purpose.preferences, 3)
    return _preferences_page(request, link, await preference_form.current_page(link, MAIL))


async def save_preferences(request: Request) -> Response:
    """Save everything at once, then redirect to the page."""
    if _BELOW.search(request.path_params["token"]):
        raise HTTPException(405)
    link = await preference_form.open_mail_link(request, Purpose.preferences, 3)
    forms.reject_foreign(request)
    saved = await preference_form.save_form(link, await forms.read_form(request), MAIL)
    if saved.problems:
        return _preferences_page(request, link, saved)
    return RedirectResponse(link.language.url(_address(request), saved=1), 303)


async def show_data_request(request: Request) -> Response:
    """Explain how to get one's own data, with the button that requests the link."""
    link = await preference_form.open_mail_link(request, Purpose.preferences, 3)
    await link.site.read(link.check)
    return link.site.page(request, "data.html", url=_address(request), asked=None)


async def request_data_link(request: Request) -> Response:
    """Have a link mailed to the address on file. The page is the same whatever that address is."""
    link = await preference_form.open_mail_link(request, Purpose.preferences, 3)
    forms.reject_foreign(request)
    await forms.read_form(request)
    site, at = link.site, link.site.clock()

    def write(connection: Connection) -> datetime | None:
        link.check(connection)
        return confirmations.ask(connection, link.customer_id, link.run_id, at)

    again = await site.group.do(write)
    moment, contact = link.moment(again) if again else "", site.settings.contact
    return site.page(request, "data.html", url=_address(request), asked=not again, again=moment, contact=contact)


def _preferences_page(request: Request, link: MailLink, page: Page) -> Response:
    values = preference_form.template_values(link, page)
    saved = "saved" in request.query_params and not page.problems
    status = UNPROCESSABLE if page.problems else 200
    return link.site.page(request, "preferences.html", status, **values, saved=saved, url=_address(request), owner=None)


def _address(request: Request) -> str:
    return f"/p/{token_of(request)}"


# `:path` and `tail` accept what mail programs append to a link. The longer paths must come first.
ROUTES = [
    Route("/p/{token}/data{tail:path}", show_data_request),
    Route("/p/{token}/data{tail:path}", request_data_link, methods=["POST"]),
    Route("/p/{token:path}", show_preferences),
    Route("/p/{token:path}", save_preferences, methods=["POST"]),
]
