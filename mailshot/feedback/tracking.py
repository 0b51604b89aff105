"""Records opens and clicks of customers who agreed to tracking, and classifies each: human, image proxy or scanner.

One feedback row is an open or click of one mail (and link) in one minute by one class. A reload and a repeated request
count once, a visit an hour later counts again, and a scanner's request never hides a human's in the same minute.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from is_crawler import is_crawler

from mailshot.feedback.link_parameters import RunParameters
from mailshot.states import NOT_MACHINES, PROVES_ARRIVAL, DeliveryState, FeedbackClass, FeedbackKind
from mailshot.store import feedback, ledger
from mailshot.store.engine import Connection
from mailshot.store.feedback import Click, MailStatus

#: A click sooner after the dot is a scanner's: no human has received and read the mail by then.
SOONEST_CLICK_SECONDS = 5.0
#: Clicks on this many different links of a mail within this time are a scanner's.
BURST, BURST_LINKS = timedelta(seconds=2), 3
#: So close to a scanner's click, another one in the mail with the same User-Agent is the same scanner's: gateways that
#: ask for the head of a link fetch the rest at once. No longer, because people have the same current browsers.
TRAIL = timedelta(seconds=5)
#: So close to a visit of the hidden link, all clicks are a scanner's: following every link takes a minute or two.
HIDDEN_LINK_TRAIL = timedelta(minutes=2)
#: Clicks in one mail that are looked at together.
REACH = timedelta(minutes=10)
#: Parts of the User-Agent of image proxies, with what the report calls them.
PROXIES = {
    "GoogleImageProxy": "Gmail's image proxy",
    "YahooMailProxy": "Yahoo's image proxy",
    "YahooCacheSystem": "Yahoo's image proxy",
    "ggpht.com": "Gmail's image proxy",
    "DuckDuckGo-EmailProtection": "DuckDuckGo's mail protection",
}
# Image proxies of other mail providers, in their many spellings
# (SeznamEmailProxy, MailRuImageProxy, 'Mail.Ru image proxy', YandexImageResizer, 'GMX ImageProxy').
_IMAGE_PROXY = re.compile(r"(?:image|img|e-?mail)[ _-]?(?:proxy|resizer)\b", re.IGNORECASE)
# Apple's privacy proxy sends this and nothing more; no browser does.
APPLE = "Mozilla/5.0"
SCANNERS = re.compile(
    r"barracuda|proofpoint|mimecast|safelinks|fireeye|trendmicro|symantec|forcepoint|cisco|sophos|paloalto|"
    r"zscaler|headless|phantomjs|selenium|puppeteer|playwright",
    re.IGNORECASE,
)
# Mail programs have no browser's name, so a robot detector takes them for robots. Outlook for Windows loads pictures
# through Word, whose User-Agent contains 'ms-office'.
MAIL_PROGRAMS = re.compile(
    r"^(thunderbird|microsoft outlook|outlook|macoutlook|windowsmail|mail|applemail|airmail|spark|k-?9 ?mail|evolution"
    r"|samsung|yahoomobilemail|superhuman|lotus-?notes|em ?client|mimestream|postbox|mailspring|mailmate|bluemail"
    r"|fairemail|foxmail|the bat|claws mail|kmail|geary|zimbra)\b|\bms-?office\b"
    r"|\bmicrosoft (?:office )?outlook\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Fetch:
    """A request for the pixel or a link of one mail."""

    run_id: int
    customer_id: int
    at: datetime
    #: GET or HEAD.
    method: str
    #: The User-Agent header.
    agent: str
    #: A header says that it was fetched ahead of the reader.
    prefetch: bool = False


def record_open(connection: Connection, fetch: Fetch) -> bool:
    """Record a load of a mail's pixel; return whether it was new."""
    delivery = feedback.mail_status(connection, fetch.run_id, fetch.customer_id)
    return _record(connection, fetch, FeedbackKind.opened, None, delivery)


def record_click(
    connection: Connection, fetch: Fetch, link_id: int, parameters: RunParameters | None = None
) -> str | None:
    """Record a click on a mail's link; return the address to redirect to, None when the link is unknown.

    The address has the UTM parameters that `parameters` knows for the mail; None adds none.
    """
    url = feedback.link_url(connection, link_id)
    if url is None:
        return None
    delivery = feedback.mail_status(connection, fetch.run_id, fetch.customer_id)
    if _record(connection, fetch, FeedbackKind.clicked, link_id, delivery):
        _blame_scanners(connection, fetch)
    if parameters is None or delivery is None or delivery.content is None:
        return url
    return parameters.of(connection, fetch.run_id).add_to(url, delivery.content)


def record_hidden_link(connection: Connection, fetch: Fetch) -> None:
    """Record that the link which no person sees was followed, and who else of the mail's visitors was that machine."""
    delivery = feedback.mail_status(connection, fetch.run_id, fetch.customer_id)
    if delivery is not None and delivery.tracked:
        cause = Classification(FeedbackClass.scanner, "followed the hidden link")
        if _store(connection, fetch, FeedbackKind.clicked, None, cause):
            _blame_scanners(connection, fetch)


def _record(
    connection: Connection, fetch: Fetch, kind: FeedbackKind, link_id: int | None, delivery: MailStatus | None
) -> bool:
    if delivery is None or not delivery.tracked:
        return False
    since_dot = (fetch.at - delivery.dotted_at).total_seconds() if delivery.dotted_at else None
    asked = TrackingRequest(kind, fetch.method, fetch.agent, since_dot, fetch.prefetch, delivery.is_accepted)
    cause = classify(asked)
    if delivery.state == DeliveryState.unconfirmed and cause.by in PROVES_ARRIVAL[kind]:
        ledger.confirm_arrival(connection, fetch.run_id, fetch.customer_id, fetch.at, f"{kind.value} by the customer")
    return _store(connection, fetch, kind, link_id, cause)


def _store(
    connection: Connection, fetch: Fetch, kind: FeedbackKind, link_id: int | None, cause: Classification
) -> bool:
    detail = {"agent": fetch.agent[:300]} if fetch.agent else {}
    key = f"{kind.value}:{fetch.run_id}:{link_id or ''}:{fetch.at:%Y-%m-%dT%H:%M}:{cause.by.value}"
    event = feedback.FeedbackEvent(
        fetch.customer_id, kind, key, fetch.at, fetch.run_id, cause.by, cause.why, link_id, detail
    )
    return feedback.record_event(connection, event)


def _blame_scanners(connection: Connection, fetch: Fetch) -> None:
    """Reclassify clicks around a new one that show a scanner only when they are seen together."""
    clicks = feedback.clicks_around(connection, fetch.run_id, fetch.customer_id, fetch.at, REACH)
    if ids := burst(clicks):
        feedback.reclassify_as_scanner(connection, ids, f"{BURST_LINKS} or more links within 2 seconds")
        clicks = [replace(click, by=FeedbackClass.scanner) if click.id in ids else click for click in clicks]
    if ids := trail(clicks):
        feedback.reclassify_as_scanner(connection, ids, "the same visitor as a scanner")


@dataclass(frozen=True, slots=True)
class TrackingRequest:
    """The part of a request that its class is decided by."""

    kind: FeedbackKind
    method: str
    agent: str
    #: Seconds since the dot, None when that moment is unknown.
    since_dot: float | None = None
    prefetch: bool = False
    #: The server has accepted the mail, or may have.
    accepted: bool = True


@dataclass(frozen=True, slots=True)
class Classification:
    """The supposed cause of a request, and why in a few words (empty for a human)."""

    by: FeedbackClass
    why: str


def classify(request: TrackingRequest) -> Classification:
    """Return what most likely caused a request, and why."""
    agent = request.agent.strip()
    if request.method == "HEAD":
        return Classification(FeedbackClass.scanner, "asked for the head only")
    if request.prefetch:
        by = FeedbackClass.proxy if request.kind is FeedbackKind.opened else FeedbackClass.scanner
        return Classification(by, "fetched ahead of the reader")
    if proxy := _proxy(request.kind, agent):
        return Classification(FeedbackClass.proxy, proxy)
    if not request.accepted:
        return Classification(FeedbackClass.scanner, "before the server accepted the mail")
    if (
        request.kind is FeedbackKind.clicked
        and request.since_dot is not None
        and request.since_dot < SOONEST_CLICK_SECONDS
    ):
        return Classification(
            FeedbackClass.scanner, f"clicked less than {SOONEST_CLICK_SECONDS:.0f} seconds after the mail went out"
        )
    if not agent:
        return Classification(FeedbackClass.unknown, "no user agent")
    if SCANNERS.search(agent) or (not MAIL_PROGRAMS.search(agent) and is_crawler(agent)):
        return Classification(FeedbackClass.scanner, "a known robot")
    return Classification(FeedbackClass.human, "")


def burst(clicks: Sequence[Click]) -> list[int]:
    """Return the ids of clicks on `BURST_LINKS` different links within `BURST`. `clicks` are in order of time."""
    ids: set[int] = set()
    start = 0
    for end, click in enumerate(clicks):
        while click.at - clicks[start].at > BURST:
            start += 1
        together = clicks[start : end + 1]
        if len({click.link_id for click in together}) >= BURST_LINKS:
            ids.update(click.id for click in together)
    return sorted(ids)


def trail(clicks: Sequence[Click]) -> list[int]:
    """Return the ids of clicks that a scanner made, although nothing but its other clicks shows it.

    The hidden link exposes every visitor around it: some scanners change their User-Agent from link to link.
    """
    rest = [click for click in clicks if click.by in NOT_MACHINES]
    scanners = [click for click in clicks if click.by == FeedbackClass.scanner]
    blamed: list[int] = []
    while scanners:
        followed = [click for click in rest if any(_is_same_visitor(click, scanner) for scanner in scanners)]
        blamed += [click.id for click in followed]
        rest, scanners = [click for click in rest if click not in followed], followed
    return sorted(blamed)


def _is_same_visitor(click: Click, scanner: Click) -> bool:
    apart = abs(click.at - scanner.at)
    if scanner.link_id is None:
        return apart <= HIDDEN_LINK_TRAIL
    return apart <= TRAIL and click.agent == scanner.agent


def _proxy(kind: FeedbackKind, agent: str) -> str | None:
    if kind is FeedbackKind.opened and agent == APPLE:
        return "Apple's privacy proxy"
    known = next((name for mark, name in PROXIES.items() if mark in agent), None)
    return known or ("a mail provider's image proxy" if _IMAGE_PROXY.search(agent) else None)
