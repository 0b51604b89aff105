"""Takes webhooks of mail providers at /webhooks/PROVIDER; a provider without a setting has no route.

A request is answered after its events and their effects are committed. A provider repeats one that was answered with an
error, for hours. What a request contains is never logged.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from python_multipart.multipart import parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from mailshot.feedback import provider_events
from mailshot.states import IncomingSource
from mailshot.store.engine import Connection
from mailshot.web import connections, forms
from mailshot.web.aws import CertificateCache
from mailshot.web.site import Site, site_of
from mailshot.webhooks import providers
from mailshot.webhooks.providers import VerifiedRequest, Webhooks
from mailshot.webhooks.sns import Fetch
from mailshot.webhooks.verification import SignedEvent, UnreadableRequest, UnverifiedRequest, WebhookRequest

log = logging.getLogger(__name__)
#: Anyone can send requests that are refused, so a provider's refusals are logged once in this time.
LOG_PAUSE_SECONDS = 60.0
#: Events of a request that share a transaction. A thousand would keep opens and unsubscribes waiting for seconds.
EVENTS_PER_WRITE = 20


def routes(webhooks: Webhooks, fetch: Fetch) -> list[BaseRoute]:
    """Return a route for each provider that is set up. `fetch` gets what is at an address of AWS."""
    return [
        Route(f"/webhooks/{source}", _Endpoint(webhooks, source, fetch).receive, methods=["POST"])
        for source in webhooks.secrets
    ]


class _Endpoint:
    """Takes the requests of one provider."""

    def __init__(self, webhooks: Webhooks, source: IncomingSource, fetch: Fetch) -> None:
        self._webhooks, self._source, self._fetch = webhooks, source, fetch
        self._certificates = CertificateCache(fetch)
        self._logged_at = -LOG_PAUSE_SECONDS

    async def receive(self, request: Request) -> Response:
        """Verify a request, apply its events, and answer."""
        site = site_of(request)
        limits = site.settings.limits
        limits.count_request(limits.mails, "address", connections.client(request.client.host) if request.client else "")
        self._check_type(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        posted = WebhookRequest(headers, await forms.read_body(request), site.clock())
        try:
            verified = await asyncio.to_thread(
                providers.verify, self._webhooks, self._source, posted, self._certificates.get
            )
            await self._apply(site, posted, verified)
        except UnverifiedRequest as error:
            self._log_refusal(error)
            raise HTTPException(401, "The request could not be verified.") from None
        except UnreadableRequest as error:
            self._log_refusal(error)
            raise HTTPException(400, "The request could not be read.") from None
        return PlainTextResponse("ok\n")

    async def _apply(self, site: Site, posted: WebhookRequest, verified: VerifiedRequest) -> None:
        if verified.confirm_url:
            await self._confirm(verified.confirm_url)
        if not verified.events:
            return
        counts: Counter[str] = Counter()
        for start in range(0, len(verified.events), EVENTS_PER_WRITE):
            events = verified.events[start : start + EVENTS_PER_WRITE]
            counts += await site.group.do(partial(self._apply_events, site, events, posted.received_at))
        log.debug("webhook %s: %s", self._source, dict(counts))

    def _apply_events(
        self, site: Site, events: Sequence[SignedEvent], at: datetime, connection: Connection
    ) -> Counter[str]:
        return provider_events.apply_events(connection, site.keys, self._source, events, at)

    async def _confirm(self, url: str) -> None:
        try:
            await asyncio.to_thread(self._fetch, url)
        except OSError as error:
            log.error("webhook %s: the subscription could not be confirmed: %s", self._source, type(error).__name__)
            raise HTTPException(503, "The subscription could not be confirmed.", {"Retry-After": "60"}) from None
        log.info("webhook %s: confirmed a subscription", self._source)

    def _check_type(self, request: Request) -> None:
        kind, _ = parse_options_header(request.headers.get("content-type"))
        if kind.decode("latin-1").lower() not in providers.PROVIDERS[self._source].content_types:
            raise HTTPException(415, "The Content-Type is not that of the provider.")

    def _log_refusal(self, error: Exception) -> None:
        if time.monotonic() - self._logged_at >= LOG_PAUSE_SECONDS:
            self._logged_at = time.monotonic()
            log.warning("webhook %s refused a request: %s", self._source, error)
