"""Shows mails in the browser: a customer's own by a link in it, and public copies in the archive.

A mail's HTML is the shop's, not ours: it is shown in a sandbox without scripts, with an origin of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from mailshot.errors import InvalidInput, NotFound
from mailshot.render import compose
from mailshot.render.problems import RenderError
from mailshot.tokens import Purpose
from mailshot.web import connections
from mailshot.web.preference_form import open_mail_link
from mailshot.web.site import Site, language_of, site_of

log = logging.getLogger(__name__)
#: The largest id of a row.
MAX_RUN_ID = 2**63 - 1
MAX_DIGITS = len(str(MAX_RUN_ID))
#: Links may open a new tab and leave the page; nothing runs.
POLICY = (
    "default-src 'none'; img-src https: http: data:; style-src 'unsafe-inline' https:; font-src https: data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation"
)


async def show_mail(request: Request) -> Response:
    """Show a customer the mail whose link they followed, while they have the address that it went to."""
    site = site_of(request)
    link = await open_mail_link(request, Purpose.view, 3)
    await site.read(link.check)
    page = await _rendered(lambda: site.views.customer_page(link.run_id, link.customer_id, site.clock()))
    return site.page(request, "mail_ended.html", 410) if page is None else _mail(page)


async def show_archive(request: Request) -> Response:
    """List the mails of the public archive."""
    site = _counted(request)
    archived = await asyncio.to_thread(site.views.archived_mails)
    zone, language = site.settings.zone, language_of(request)
    mails = [
        {
            "url": compose.archive_url("", mail.run_id, mail.content),
            "subject": mail.subject,
            "day": language.date(mail.launched_at.astimezone(zone), zone, site.settings.language),
        }
        for mail in archived
    ]
    return site.page(request, "archive.html", mails=mails)


async def show_archived(request: Request) -> Response:
    """Show one mail of the public archive."""
    site = _counted(request)
    number, content = request.path_params["run"], request.path_params["content"]
    if not (number.isascii() and number.isdigit()) or len(number) > MAX_DIGITS:  # int() refuses thousands of digits
        raise HTTPException(404)
    run_id = int(number)
    page = await _rendered(lambda: site.views.public_page(run_id, content)) if run_id <= MAX_RUN_ID else None
    if page is None:
        raise HTTPException(404)
    return _mail(page)


def _mail(page: str) -> Response:
    return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})


async def _rendered(render: Callable[[], str | None]) -> str | None:
    try:
        return await asyncio.to_thread(render)
    except RenderError as error:
        # The reason may quote a customer's value.
        log.warning("a mail cannot be shown in the browser: see %s", error.place)
        return None
    except (InvalidInput, NotFound) as error:
        log.warning("a mail cannot be shown in the browser: %s", error)
        return None


def _counted(request: Request) -> Site:
    """Return the site, after counting a request without a token."""
    site, client = site_of(request), request.client
    limits = site.settings.limits
    limits.count_request(limits.pages, "address", connections.client(client.host) if client else "")
    return site


ROUTES = [
    Route("/v/{token:path}", show_mail),
    Route("/archive", show_archive),
    Route("/archive/{run}/{content:path}", show_archived),
]
