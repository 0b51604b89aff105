"""Owns what every page needs: rows, keys, words, brand and clock; refuses to answer a request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse

from mailshot import tokens
from mailshot.facts.catalogue import Fact
from mailshot.profile.preferences import Statements
from mailshot.profile.topics import Topics
from mailshot.store.engine import Connection, Store
from mailshot.store.group_commit import GroupCommit
from mailshot.tokens import KeyRing, Purpose
from mailshot.web import connections, page_templates
from mailshot.web.rate_limits import RequestLimits

T = TypeVar("T")


def _now() -> datetime:
    return datetime.now(UTC)


class TestMailLink(Exception):
    """A genuine link of a test mail, which belongs to no run and no customer."""


@dataclass(frozen=True)
class Site:
    """One customer site. Writes go through `group`, so that nothing is answered before it is on disk.

    `contact` is the address that a customer can write to when a link does not work, empty when none is known.
    Dates are written for `zone` where the customer's own is not known, in the English of `language`.
    """

    store: Store
    group: GroupCommit
    keys: KeyRing
    topics: Topics
    statements: Statements
    facts: Mapping[str, Fact]
    brand: str
    contact: str
    address_key: bytes
    rates: RequestLimits
    clock: Callable[[], datetime] = field(default=_now)
    zone: ZoneInfo = field(default=ZoneInfo("UTC"))
    language: str = "en"
    #: Whose data are being written into a file just now, and how many files may be written at once.
    exporting: set[int] = field(default_factory=set)
    exports: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))

    async def read(self, look: Callable[[Connection], T]) -> T:
        """Run a query in a worker thread and return what it found."""
        return await asyncio.to_thread(self._read, look)

    def _read(self, look: Callable[[Connection], T]) -> T:
        with self.store.read() as connection:
            return look(connection)

    def page(self, name: str, status: int = 200, **words: Any) -> HTMLResponse:
        """Return a page made from one of our templates."""
        return HTMLResponse(page_templates.render(name, brand=self.brand, **words), status)


def of(request: Request) -> Site:
    """Return the site that a request came to."""
    site: Site = request.app.state.site
    return site


def token(request: Request) -> str:
    """Return the token that `ids` found in the path, without what was glued to it."""
    found: str = request.state.token
    return found


async def ids(request: Request, purpose: Purpose, *counts: int) -> tuple[int, ...]:
    """Return the ids in the path's token. Raises 429 beyond its rate and one plain 404 for whatever is not genuine.

    Raises TestMailLink where an id is 0: rows count from 1, and test mails are written for nobody.

    What mail programs glue to the end of a link is cut off; what is left must be as genuine as ever.
    Leaving is never refused for having been asked too often: no scanner may use up a customer's way out.
    """
    site = of(request)
    written = request.path_params["token"]
    genuine = ((text, ids) for text in tokens.trimmed(written) if (ids := site.keys.read(purpose, text)))
    text, found = next(genuine, (written, None))
    rate = site.rates.pages if purpose in (Purpose.preferences, Purpose.confirm) else site.rates.mails
    site.rates.take(rate, "address", connections.client(request.client.host) if request.client else "")
    if found is None or len(found) not in counts:
        raise HTTPException(404)
    if not (purpose is Purpose.unsubscribe and request.method == "POST"):
        site.rates.take(site.rates.tokens, "token", text)
    if 0 in found:
        raise TestMailLink
    request.state.token = text
    return found
