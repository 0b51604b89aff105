"""Records opens and clicks of customers who agreed to tracking, and classifies each: human, image proxy or scanner.

One feedback row is an open or click of one mail (and link) in one minute by one class. A reload and a repeated request
count once, a visit an hour later counts again, and a scanner's request never hides a human's in the same minute.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from is_crawler import is_crawler

from mailshot.feedback.link_parameters import RunParameters
from mailshot.states import NOT_MACHINES, PROVES_ARRIVAL, DeliveryState, FeedbackClass, FeedbackKind
from mailshot.store import feedback, ledger
from mailshot.store.engine import Connection
from mailshot.store.feedback import Click, FeedbackEvent, Mail, MailStatus

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
#: User agents whose class a process remembers: a few hundred make up most requests, and the patterns are long.
AGENTS_KEPT = 1024
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
    #: The link that was fetched, None for the pixel and for the hidden link.
    link_id: int | None = None
    #: It was the link that no person sees.
    is_hidden: bool = False

    @property
    def mail(self) -> Mail:
        return self.run_id, self.customer_id

    @property
    def kind(self) -> FeedbackKind:
        return FeedbackKind.clicked if self.is_hidden or self.link_id is not None else FeedbackKind.opened


def record_fetches(
    connection: Connection, fetches: Sequence[Fetch], parameters: RunParameters | None = None
) -> list[str | None]:
    """Record opens and clicks; return the address that each is redirected to.

    None for a pixel, for the hidden link and for a link that is unknown; a fetch of an unknown link is not recorded.
    The address has the UTM parameters that `parameters` knows for the mail; None adds none. A few statements serve any
    number of fetches.
    """
    urls = feedback.link_urls(connection, {fetch.link_id for fetch in fetches if fetch.link_id is not None})
    genuine = [fetch for fetch in fetches if fetch.link_id is None or fetch.link_id in urls]
    statuses = feedback.mail_statuses(connection, {fetch.mail for fetch in genuine})
    tracked = [fetch for fetch in genuine if fetch.mail in statuses and statuses[fetch.mail].tracked]
    events = [_event(connection, fetch, statuses[fetch.mail]) for fetch in tracked]
    _blame_scanners(connection, feedback.record_events(connection, events))
    addresses = [urls.get(fetch.link_id) if fetch.link_id is not None else None for fetch in fetches]
    if parameters is None:
        return addresses
    return [
        _with_parameters(connection, url, fetch, statuses.get(fetch.mail), parameters)
        for url, fetch in zip(addresses, fetches, strict=True)
    ]


def _event(connection: Connection, fetch: Fetch, status: MailStatus) -> FeedbackEvent:
    """Return the event of a fetch, and settle an unconfirmed mail that it proves to have arrived."""
    since_dot = (fetch.at - status.dotted_at).total_seconds() if status.dotted_at else None
    asked = TrackingRequest(fetch.kind, fetch.method, fetch.agent, since_dot, fetch.prefetch, status.is_accepted)
    cause = HIDDEN_LINK if fetch.is_hidden else classify(asked)
    if status.state == DeliveryState.unconfirmed and cause.by in PROVES_ARRIVAL[fetch.kind]:
        ledger.confirm_arrival(connection, *fetch.mail, fetch.at, f"{fetch.kind.value} by the customer")
    detail = {"agent": fetch.agent[:300]} if fetch.agent else {}
    minute = fetch.at.isoformat(timespec="minutes")[:16]
    key = f"{fetch.kind.value}:{fetch.run_id}:{fetch.link_id or ''}:{minute}:{cause.by.value}"
    return FeedbackEvent(
        fetch.customer_id, fetch.kind, key, fetch.at, fetch.run_id, cause.by, cause.why, fetch.link_id, detail
    )


def _blame_scanners(connection: Connection, new: Sequence[FeedbackEvent]) -> None:
    """Reclassify clicks around new ones that show a scanner only when they are seen together."""
    clicks = [event for event in new if event.kind is FeedbackKind.clicked]
    if not clicks:
        return
    mails = {(event.run_id, event.customer_id) for event in clicks if event.run_id is not None}
    since, until = min(event.at for event in clicks) - REACH, max(event.at for event in clicks) + REACH
    by_mail = feedback.clicks_between(connection, mails, since, until)
    in_bursts = {number for clicks_of_mail in by_mail.values() for number in burst(clicks_of_mail)}
    if in_bursts:
        why = f"{BURST_LINKS} or more links within 2 seconds"
        feedback.reclassify_as_scanner(connection, sorted(in_bursts), why)
    trails = [number for clicks_of_mail in by_mail.values() for number in trail(clicks_of_mail, in_bursts)]
    if trails:
        feedback.reclassify_as_scanner(connection, trails, "the same visitor as a scanner")


def _with_parameters(
    connection: Connection, url: str | None, fetch: Fetch, status: MailStatus | None, parameters: RunParameters
) -> str | None:
    if url is None or status is None or status.content is None:
        return url
    return parameters.of(connection, fetch.run_id).add_to(url, status.content)


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


HIDDEN_LINK = Classification(FeedbackClass.scanner, "followed the hidden link")


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
    if _is_robot(agent):
        return Classification(FeedbackClass.scanner, "a known robot")
    return Classification(FeedbackClass.human, "")


@lru_cache(maxsize=AGENTS_KEPT)
def _is_robot(agent: str) -> bool:
    return bool(SCANNERS.search(agent)) or (not MAIL_PROGRAMS.search(agent) and is_crawler(agent))


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


def trail(clicks: Sequence[Click], known: Collection[int] = ()) -> list[int]:
    """Return the ids of clicks that only the other clicks in the same mail show to be a scanner's.

    `known` are the ids of clicks that are a scanner's whatever their class. The hidden link exposes every visitor
    around it: some scanners change their User-Agent from link to link.
    """
    scanners = [click for click in clicks if click.by == FeedbackClass.scanner or click.id in known]
    rest = [click for click in clicks if click.by in NOT_MACHINES and click.id not in known]
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
