"""Owns what happens when a mail's pixel or link is fetched; refuses to count anybody who has not agreed to it.

One piece of feedback is an open or click of one mail (and link) in one minute by one class: a reload and a repeated
request count once, coming back an hour later counts again, and a scanner's visit never hides a person's in that minute.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from is_crawler import is_crawler

from mailshot.states import PROVES_ARRIVAL, DeliveryState, FeedbackClass, FeedbackKind
from mailshot.store import feedback, ledger
from mailshot.store.engine import Connection
from mailshot.store.feedback import Click


@dataclass(frozen=True, slots=True)
class Fetch:
    """A request for something in a mail: which mail, when, and how it was asked for."""

    run_id: int
    customer_id: int
    at: datetime
    method: str
    agent: str
    prefetch: bool = False


def opened(connection: Connection, fetch: Fetch) -> bool:
    """Take one load of a mail's pixel and return whether it was new."""
    return _take(connection, fetch, FeedbackKind.opened, None)


def clicked(connection: Connection, fetch: Fetch, link_id: int) -> str | None:
    """Take one visit of a mail's link and return the address to go on to, None when the link is unknown."""
    url = feedback.find(connection, link_id)
    if url is not None and _take(connection, fetch, FeedbackKind.clicked, link_id):
        _look_for_burst(connection, fetch)
    return url


def _take(connection: Connection, fetch: Fetch, kind: FeedbackKind, link_id: int | None) -> bool:
    met = feedback.circumstances(connection, fetch.run_id, fetch.customer_id)
    if met is None or not met.tracked:
        return False
    since_dot = (fetch.at - met.dotted_at).total_seconds() if met.dotted_at else None
    verdict = classify(TrackingRequest(kind, fetch.method, fetch.agent, since_dot, fetch.prefetch))
    if met.state == DeliveryState.unconfirmed and verdict.by in PROVES_ARRIVAL[kind]:
        ledger.confirm_arrival(connection, fetch.run_id, fetch.customer_id, fetch.at, f"{kind.value} by the customer")
    detail = {"agent": fetch.agent[:300]} if fetch.agent else {}
    key = f"{kind.value}:{fetch.run_id}:{link_id or ''}:{fetch.at:%Y-%m-%dT%H:%M}:{verdict.by.value}"
    piece = feedback.FeedbackEvent(
        fetch.customer_id, kind, key, fetch.at, fetch.run_id, verdict.by, verdict.why, link_id, detail
    )
    return feedback.record(connection, piece)


def _look_for_burst(connection: Connection, fetch: Fetch) -> None:
    near = feedback.clicks_around(connection, fetch.run_id, fetch.customer_id, fetch.at, BURST)
    if ids := burst(near):
        feedback.blame_scanner(connection, ids, f"{BURST_LINKS} or more links within 2 seconds")


SOONEST_CLICK = 5.0  # seconds
BURST = timedelta(seconds=2)
BURST_LINKS = 3
PROXIES = {
    "GoogleImageProxy": "Gmail's image proxy",
    "YahooMailProxy": "Yahoo's image proxy",
    "YahooCacheSystem": "Yahoo's image proxy",
    "ggpht.com": "Gmail's image proxy",
    "DuckDuckGo-EmailProtection": "DuckDuckGo's mail protection",
}
# Other mail providers: what fetches pictures for their readers calls itself so, in many spellings
# (SeznamEmailProxy, MailRuImageProxy, 'Mail.Ru image proxy', YandexImageResizer, 'GMX ImageProxy').
_IMAGE_PROXY = re.compile(r"(?:image|img|e-?mail)[ _-]?(?:proxy|resizer)\b", re.IGNORECASE)
# Apple's privacy proxy gives nothing but this; no browser does.
APPLE = "Mozilla/5.0"
SCANNERS = re.compile(
    r"barracuda|proofpoint|mimecast|safelinks|fireeye|trendmicro|symantec|forcepoint|cisco|sophos|paloalto|"
    r"zscaler|headless|phantomjs|selenium|puppeteer|playwright",
    re.IGNORECASE,
)
# Mail programs name themselves without a browser's name, which a robot detector takes for a robot. Outlook for Windows
# loads pictures by way of Word, which presents itself as 'ms-office'.
MAIL_PROGRAMS = re.compile(
    r"^(thunderbird|microsoft outlook|outlook|macoutlook|windowsmail|mail|applemail|airmail|spark|k-?9 ?mail|evolution"
    r"|samsung|yahoomobilemail|superhuman|lotus-?notes|em ?client|mimestream|postbox|mailspring|mailmate|bluemail"
    r"|fairemail|foxmail|the bat|claws mail|kmail|geary|zimbra)\b|\bms-?office\b"
    r"|\bmicrosoft (?:office )?outlook\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class TrackingRequest:
    """One request for a pixel or link. `since_dot` is in seconds, None when the moment of the dot is unknown."""

    kind: FeedbackKind
    method: str
    agent: str
    since_dot: float | None = None
    prefetch: bool = False


@dataclass(frozen=True, slots=True)
class Classification:
    by: FeedbackClass
    why: str


def classify(hit: TrackingRequest) -> Classification:
    """Return who is believed to have caused a hit, and why."""
    agent = hit.agent.strip()
    if hit.method == "HEAD":
        return Classification(FeedbackClass.scanner, "asked for the head only")
    if hit.prefetch:
        by = FeedbackClass.proxy if hit.kind is FeedbackKind.opened else FeedbackClass.scanner
        return Classification(by, "fetched ahead of the reader")
    if proxy := _proxy(hit.kind, agent):
        return Classification(FeedbackClass.proxy, proxy)
    if hit.kind is FeedbackKind.clicked and hit.since_dot is not None and hit.since_dot < SOONEST_CLICK:
        return Classification(
            FeedbackClass.scanner, f"clicked less than {SOONEST_CLICK:.0f} seconds after the mail went out"
        )
    if not agent:
        return Classification(FeedbackClass.unknown, "no user agent")
    if SCANNERS.search(agent) or (not MAIL_PROGRAMS.search(agent) and is_crawler(agent)):
        return Classification(FeedbackClass.scanner, "a known robot")
    return Classification(FeedbackClass.human, "")


def burst(clicks: Sequence[Click]) -> list[int]:
    """Return the ids of the clicks within any two seconds of three different links; `clicks` in order of time."""
    found: set[int] = set()
    start = 0
    for end, click in enumerate(clicks):
        while click.at - clicks[start].at > BURST:
            start += 1
        together = clicks[start : end + 1]
        if len({one.link_id for one in together}) >= BURST_LINKS:
            found.update(one.id for one in together)
    return sorted(found)


def _proxy(kind: FeedbackKind, agent: str) -> str | None:
    if kind is FeedbackKind.opened and agent == APPLE:
        return "Apple's privacy proxy"
    known = next((name for mark, name in PROXIES.items() if mark in agent), None)
    return known or ("a mail provider's image proxy" if _IMAGE_PROXY.search(agent) else None)
