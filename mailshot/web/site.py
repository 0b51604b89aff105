"""What every page of the customer site needs: database, keys, settings and clock, and the check of a link's token."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse

from mailshot import tokens
from mailshot.campaign.browser_view import BrowserViews
from mailshot.customer_texts import language
from mailshot.customer_texts.language import LANGUAGES, CustomerLanguage
from mailshot.facts.catalogue import Fact, builtin
from mailshot.feedback import tracking
from mailshot.feedback.link_parameters import RunParameters
from mailshot.profile.preferences import Statements
from mailshot.profile.topics import Topics
from mailshot.store.engine import Connection, Store
from mailshot.store.group_commit import GroupCommit
from mailshot.store.sign_ups import SignUpLimits
from mailshot.tokens import KeyRing, Purpose
from mailshot.web import aws, connections
from mailshot.web.page_templates import PageTemplates
from mailshot.web.rate_limits import RequestLimits
from mailshot.webhooks.providers import Webhooks
from mailshot.webhooks.sns import Fetch

T = TypeVar("T")
#: Purposes of links to pages, which people open and mail providers do not fetch by the thousand.
PAGE_PURPOSES = (Purpose.preferences, Purpose.confirm, Purpose.view, Purpose.address, Purpose.signup)
#: The templates of the pages by language.
PAGES = {tag: PageTemplates(Path(__file__).parent / "pages", language.translations(tag)) for tag in LANGUAGES}


def _now() -> datetime:
    return datetime.now(UTC)


class TestMailLink(Exception):
    """A valid link of a test mail, which belongs to no run and no customer."""


@dataclass(frozen=True, slots=True)
class SignUpSettings:
    """How visitors sign up; without a `sender` they cannot."""

    #: Who the mail with the link is from, with the fields of rules/senders.yaml.
    sender: Mapping[str, Any] | None = None
    limits: SignUpLimits = field(default_factory=SignUpLimits)
    #: How long a link works.
    valid: timedelta = timedelta(days=7)
    #: A form that was sent sooner after it was shown is taken for a machine's.
    least_age: timedelta = timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class SiteSettings:
    """What the customer site takes from the rules and the settings."""

    #: The company's name as customers know it.
    brand: str
    topics: Topics
    #: The questions of the preference page.
    statements: Statements
    #: The key of address hashes: an erased address is suppressed by its hash.
    address_key: bytes
    #: The facts about customers that the owner's page may show, by name.
    facts: Mapping[str, Fact] = field(default_factory=lambda: builtin().customer)
    #: The address that customers can write to when a link does not work; empty for none.
    contact: str = ""
    #: Dates are shown in this zone where the customer's own is not known.
    zone: ZoneInfo = field(default=ZoneInfo("UTC"))
    #: The company's language (BCP 47). Pages are in it where neither customer nor browser has one that we know.
    language: str = "en"
    limits: RequestLimits = field(default_factory=RequestLimits)
    #: The mail providers whose webhooks are taken.
    webhooks: Webhooks = field(default_factory=Webhooks)
    fetch_from_aws: Fetch = aws.fetch
    sign_up: SignUpSettings = field(default_factory=SignUpSettings)


@dataclass(frozen=True)
class Site:
    """One customer site."""

    store: Store
    #: All writes go through it, so that no request is answered before its write is on disk.
    group: GroupCommit
    keys: KeyRing
    settings: SiteSettings
    #: Mails of runs, rendered again.
    views: BrowserViews
    clock: Callable[[], datetime] = field(default=_now)
    #: Only writes of the group use it, which run one after another.
    run_parameters: RunParameters = field(default_factory=RunParameters)
    #: Customers whose data is being exported.
    exporting: set[int] = field(default_factory=set)
    #: How many exports may run at once.
    exports: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))

    def record_fetches(self, connection: Connection, fetches: list[tracking.Fetch]) -> list[str | None]:
        """Record opens and clicks for `group.do_together`; return the address that each is redirected to."""
        return tracking.record_fetches(connection, fetches, self.run_parameters)

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run a query in a worker thread and return its result."""
        return await asyncio.to_thread(self._read, query)

    def _read(self, query: Callable[[Connection], T]) -> T:
        with self.store.read() as connection:
            return query(connection)

    def page(self, request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Return a page rendered from a template in `pages/`, in the language of the request."""
        chosen = language_of(request)
        text = PAGES[chosen.tag].render(
            template,
            brand=self.settings.brand,
            language=chosen,
            languages=LANGUAGES,
            # What answers a post has no address that a link could lead to.
            can_switch=request.method in ("GET", "HEAD"),
            **values,
        )
        return HTMLResponse(text, status, {"Content-Language": chosen.tag, "Vary": "Accept-Language"})


def site_of(request: Request) -> Site:
    """Return the site that a request came to."""
    site: Site = request.app.state.site
    return site


def choose_language(request: Request, own: str | None = None) -> CustomerLanguage:
    """Choose the language for all that answers a request; `own` is the customer's language, None where unknown."""
    accepted, company = request.headers.get("accept-language", ""), site_of(request).settings.language
    request.state.language = language.choose(request.query_params.get(language.PARAMETER), own, accepted, company)
    return language_of(request)


def language_of(request: Request) -> CustomerLanguage:
    """Return the language that `choose_language` chose; before that, the one for an unknown customer."""
    chosen: CustomerLanguage | None = getattr(request.state, "language", None)
    return chosen or choose_language(request)


def token_of(request: Request) -> str:
    """Return the token that `verified_ids` accepted, without what a mail program appended to it."""
    token: str = request.state.token
    return token


async def verified_ids(request: Request, purpose: Purpose, *counts: int) -> tuple[int, ...]:
    """Return the ids in the path's token, whose number must be one of `counts`.

    Raises 429 beyond a rate limit, 404 for a token that is not valid for this purpose, and TestMailLink where an id
    is 0: rows count from 1, and test mails have no row.

    Characters that mail programs append to a link are cut off; the rest must be a valid token. Unsubscribe requests are
    exempt from the limit per token, so that no scanner can use up a customer's attempts.
    """
    site, limits = site_of(request), site_of(request).settings.limits
    raw = request.path_params["token"]
    valid = ((token, ids) for token in tokens.candidates(raw) if (ids := site.keys.verify(purpose, token)))
    token, ids = next(valid, (raw, None))
    limit = limits.pages if purpose in PAGE_PURPOSES else limits.mails
    limits.count_request(limit, "address", connections.client(request.client.host) if request.client else "")
    if ids is None or len(ids) not in counts:
        raise HTTPException(404)
    if not (purpose is Purpose.unsubscribe and request.method == "POST"):
        limits.count_request(limits.tokens, "token", token)
    if 0 in ids:
        raise TestMailLink
    request.state.token = token
    return ids
