"""Puts the customer site together from its pages; `server` makes it listen on a port."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from mailshot.campaign.browser_view import BrowserViews
from mailshot.errors import Unavailable
from mailshot.store.engine import Store
from mailshot.store.group_commit import GroupCommit
from mailshot.tokens import KeyRing
from mailshot.web import (
    address_change,
    mail_pages,
    preferences,
    privacy,
    security_headers,
    sign_up,
    static_files,
    tracking,
    unsubscribe,
    webhooks,
)
from mailshot.web.privacy import LinkEnded
from mailshot.web.request_metrics import RequestMetrics
from mailshot.web.security_headers import PROTECTION, SecurityHeaders
from mailshot.web.site import Site, SiteSettings, TestMailLink, site_of

#: Pages that mails link to: a broken link to one gets an HTML page instead of a line of text.
OWN_PAGES = ("/u/", "/p/", "/d/", "/v/", "/a/", "/signup/confirm/")
#: Links that mail providers follow, too: only browsers get the page.
LINKS = ("/c/",)


def create_app(store: Store, keys: KeyRing, settings: SiteSettings) -> Starlette:
    """Return the site: what customers reach, /o /c /u /p /d /a /v /archive /signup; and /healthz and /webhooks."""
    group = GroupCommit(store)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await group.close()

    routes = [*_routes(), *webhooks.routes(settings.webhooks, settings.fetch_from_aws)]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(RequestMetrics, routes=routes), Middleware(SecurityHeaders)],
        exception_handlers=HANDLERS,
        lifespan=lifespan,
    )
    # Such a redirect would repeat the token under the host and scheme of the request, whatever they are.
    app.router.redirect_slashes = False
    app.state.site = Site(store, group, keys, settings, BrowserViews(store, keys))
    return app


def _routes() -> list[BaseRoute]:
    # The route of a page matches what is below it, too, so those routes come first.
    own_data = [*address_change.ROUTES, *privacy.ROUTES]
    pages = [*tracking.ROUTES, *unsubscribe.ROUTES, *preferences.ROUTES, *own_data, *mail_pages.ROUTES]
    return [*pages, *sign_up.ROUTES, *static_files.routes(), Route("/healthz", _health)]


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    site, status = site_of(request), error.status_code
    if status == 410:
        return site.page(request, "erased.html", 410)
    if status == 404 and request.scope["path"].startswith((*OWN_PAGES, *(LINKS if _wants_page(request) else ()))):
        return site.page(request, "dead.html", 404, contact=site.settings.contact)
    if not _wants_page(request):
        message = "Not found." if status == 404 else error.detail
        return PlainTextResponse(f"{message}\n", status, error.headers)
    return _error_page(request, status, error.headers)


def _wants_page(request: Request) -> bool:
    """Return whether a person looks at the response: browsers ask for HTML, programs of mail providers do not."""
    return "text/html" in request.headers.get("accept", "")


def _error_page(request: Request, status: int, headers: Mapping[str, str] | None = None) -> Response:
    retry_seconds = int((headers or {}).get("Retry-After", 0))
    page = site_of(request).page(request, "error.html", status, code=status, retry_seconds=retry_seconds)
    page.headers.update(headers or {})
    return page


async def _test_mail_link(request: Request, error: Exception) -> Response:
    return site_of(request).page(request, "test_mail.html")


async def _link_ended(request: Request, error: Exception) -> Response:
    assert isinstance(error, LinkEnded)
    return site_of(request).page(request, "data_ended.html", 410, again=error.again)


async def _unavailable(request: Request, error: Exception) -> Response:
    headers = {"Retry-After": "5"}
    if _wants_page(request):
        return _error_page(request, 503, headers)
    return PlainTextResponse("Please try again in a moment.\n", 503, headers)


async def _server_error(request: Request, error: Exception) -> Response:
    if _wants_page(request):
        with contextlib.suppress(Exception):  # the error may be in what makes pages
            return _error_page(request, 500, PROTECTION)
    return await security_headers.server_error(request, error)


HANDLERS = {
    HTTPException: _http_error,
    Unavailable: _unavailable,
    TestMailLink: _test_mail_link,
    LinkEnded: _link_ended,
    Exception: _server_error,
}


async def _health(request: Request) -> Response:
    await site_of(request).read(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
    return PlainTextResponse("ok\n")
