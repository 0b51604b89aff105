"""The preference page of a mail: topics and answers can be changed, and a link to one's own data asked for.

Whoever has the mail opens this page, so it shows nothing about the customer but the topics they get.
"""

from __future__ import annotations

import re

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from mailshot.feedback import stating
from mailshot.feedback.wishes import MAIL
from mailshot.profile import address
from mailshot.store import confirmations
from mailshot.tokens import Purpose
from mailshot.web import forms, preference_form, site
from mailshot.web.preference_form import Page

SEVEREST = 422
# The pages below this one, of today and of old: a form posted there is never one of preferences.
_BELOW = re.compile(r"/(data|export|erase)")


async def page(request: Request) -> Response:
    """Show the topics, and the questions without the answers."""
    here, (_, customer_id) = site.of(request), await _ids(request)
    standing = await here.read(lambda connection: stating.standing(connection, customer_id))
    return _shown(request, preference_form.fresh(here, standing, MAIL))


async def save(request: Request) -> Response:
    """Save everything at once, then lead back to the page."""
    if _BELOW.search(request.path_params["token"]):
        raise HTTPException(405)
    run_id, customer_id = await _ids(request)
    forms.refuse_foreign(request)
    form = await forms.read(request)
    saved = await preference_form.save(site.of(request), customer_id, run_id, form, MAIL)
    return _shown(request, saved) if saved.problems else RedirectResponse(f"{_address(request)}?saved=1", 303)


async def data(request: Request) -> Response:
    """Say how to get at one's own data, with the button that asks for the link."""
    await _ids(request)
    return site.of(request).page("data.html", here=_address(request), asked=None)


async def ask(request: Request) -> Response:
    """Have a link mailed to the address on file; the page says the same whatever that address is."""
    here, (run_id, customer_id) = site.of(request), await _ids(request)
    forms.refuse_foreign(request)
    await forms.read(request)
    at = here.clock()
    asked = await here.group.do(lambda connection: confirmations.ask(connection, customer_id, run_id, at))
    return here.page("data.html", here=_address(request), asked=asked)


async def _ids(request: Request) -> tuple[int, int]:
    """Return the run and the customer of the link. Raises 404 once the customer has another address."""
    run_id, customer_id, mailbox = await site.ids(request, Purpose.preferences, 3)
    here = site.of(request)
    person = await here.read(lambda connection: preference_form.known(connection, customer_id))
    if person.email is None or not here.keys.is_fingerprint(mailbox, address.mailbox(person.email)):
        raise HTTPException(404)
    return run_id, customer_id


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
