"""Owns putting the customer site together; refuses to listen on a port (serve does)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from zoneinfo import ZoneInfo

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from mailshot.errors import Unavailable
from mailshot.facts.catalogue import Catalogue, builtin
from mailshot.profile.preferences import Statements
from mailshot.profile.topics import Topics
from mailshot.store.engine import Store
from mailshot.store.group_commit import GroupCommit
from mailshot.tokens import KeyRing
from mailshot.web import preferences, privacy, security_headers, site, static_files, tracking, unsubscribe
from mailshot.web.privacy import LinkEnded
from mailshot.web.rate_limits import RequestLimits
from mailshot.web.security_headers import SecurityHeaders
from mailshot.web.site import Site, TestMailLink

UTC = ZoneInfo("UTC")
#: Our own pages that mails link to: a dead link to one gets a page for people.
OWN_PAGES = ("/u/", "/p/", "/d/")


def build(
    store: Store,
    keys: KeyRing,
    topics: Topics,
    statements: Statements,
    brand: str,
    address_key: bytes,
    rates: RequestLimits | None = None,
    catalogue: Catalogue | None = None,
    contact: str = "",
    zone: ZoneInfo = UTC,
    language: str = "en",
) -> Starlette:
    """Return the site that customers reach: /o, /c, /u, /p, /d and /healthz.

    `contact` is the address that the page of a dead link names, empty for none. Dates are written for
    `zone` where the customer's own is not known, and as the company's `language` does where that is English.
    """
    group = GroupCommit(store)

    @asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        yield
        await group.close()

    app = Starlette(
        routes=_routes(),
        middleware=[Middleware(SecurityHeaders)],
        exception_handlers=HANDLERS,
        lifespan=life,
    )
    # Such a redirect would repeat the token under whatever name and scheme the request came with.
    app.router.redirect_slashes = False
    facts = (catalogue or builtin()).customer
    app.state.site = Site(
        store, group, keys, topics, statements, facts, brand, contact, address_key, rates or RequestLimits(),
        zone=zone, language=language,
    )  # fmt: skip
    return app


def _routes() -> list[BaseRoute]:
    pages = [*tracking.ROUTES, *unsubscribe.ROUTES, *preferences.ROUTES, *privacy.ROUTES]
    return [*pages, *static_files.routes(), Route("/healthz", _health)]


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 410:
        return site.of(request).page("erased.html", 410)
    if error.status_code == 404 and request.scope["path"].startswith(OWN_PAGES):
        return site.of(request).page("dead.html", 404, contact=site.of(request).contact)
    words = "Not found." if error.status_code == 404 else error.detail
    return PlainTextResponse(f"{words}\n", error.status_code, error.headers)


async def _test_mail(request: Request, error: Exception) -> Response:
    return site.of(request).page("test_mail.html")


async def _ended(request: Request, error: Exception) -> Response:
    assert isinstance(error, LinkEnded)
    return site.of(request).page("data_ended.html", 410, again=error.again)


async def _unavailable(request: Request, error: Exception) -> Response:
    return PlainTextResponse("Please try again in a moment.\n", 503, {"Retry-After": "5"})


HANDLERS = {
    HTTPException: _refused,
    Unavailable: _unavailable,
    TestMailLink: _test_mail,
    LinkEnded: _ended,
    Exception: security_headers.failed,
}


async def _health(request: Request) -> Response:
    await site.of(request).read(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
    return PlainTextResponse("ok\n")
