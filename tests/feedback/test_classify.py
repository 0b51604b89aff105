"""Checks the classes of opens and clicks: human, image proxy, scanner."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path

import pytest

from mailshot.feedback import tracking
from mailshot.feedback.tracking import TrackingRequest
from mailshot.states import FeedbackClass, FeedbackKind
from mailshot.store.feedback import Click
from tests.support.customer_site import BROWSER

INPUTS = Path(__file__).parents[1] / "inputs"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
OUTLOOK = "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; Microsoft Outlook 16.0.17328; ms-office; MSOffice 16)"
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
YAHOO = "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
OPEN, CLICK = FeedbackKind.opened, FeedbackKind.clicked


@pytest.mark.parametrize(
    ("hit", "by"),
    [
        (TrackingRequest(CLICK, "GET", BROWSER, 60), "human"),
        (TrackingRequest(CLICK, "GET", IPHONE, None), "human"),
        (TrackingRequest(OPEN, "GET", OUTLOOK, 1), "human"),
        (TrackingRequest(OPEN, "GET", "Thunderbird/115.0", 60), "human"),
        (TrackingRequest(OPEN, "GET", "Outlook-Android/2.0", 60), "human"),
        (TrackingRequest(CLICK, "HEAD", BROWSER, 60), "scanner"),
        (TrackingRequest(CLICK, "GET", BROWSER, 60, prefetch=True), "scanner"),
        (TrackingRequest(OPEN, "GET", BROWSER, 60, prefetch=True), "proxy"),
        (TrackingRequest(OPEN, "GET", "Mozilla/4.0 (compatible; ms-office; MSOffice 15)", 60), "human"),
        (TrackingRequest(OPEN, "GET", "Superhuman", 60), "human"),
        (TrackingRequest(OPEN, "GET", "Microsoft Office Existence Discovery", 60), "scanner"),
        (TrackingRequest(CLICK, "GET", BROWSER, 4.9), "scanner"),
        (TrackingRequest(CLICK, "GET", BROWSER, -3), "scanner"),
        (TrackingRequest(CLICK, "GET", BROWSER, 5.0), "human"),
        (TrackingRequest(CLICK, "GET", BROWSER, None, accepted=False), "scanner"),
        (TrackingRequest(CLICK, "GET", BROWSER, 60, accepted=False), "scanner"),
        (TrackingRequest(OPEN, "GET", IPHONE, 60, accepted=False), "scanner"),
        (TrackingRequest(OPEN, "GET", GMAIL, None, accepted=False), "proxy"),
        (TrackingRequest(CLICK, "GET", GOOGLEBOT, 60), "scanner"),
        (TrackingRequest(CLICK, "GET", "python-requests/2.31", 60), "scanner"),
        (TrackingRequest(CLICK, "GET", "BarracudaCentral", 60), "scanner"),
        (TrackingRequest(CLICK, "GET", BROWSER.replace("Chrome", "HeadlessChrome"), 60), "scanner"),
        (TrackingRequest(OPEN, "GET", GMAIL, 60), "proxy"),
        (TrackingRequest(OPEN, "GET", YAHOO, 60), "proxy"),
        (TrackingRequest(OPEN, "GET", "Mozilla/5.0", 60), "proxy"),
        (TrackingRequest(CLICK, "GET", "Mozilla/5.0", 60), "human"),
        (TrackingRequest(CLICK, "GET", " ", 60), "unknown"),
        (TrackingRequest(CLICK, "GET", "", 1), "scanner"),
    ],
)
def test_the_cause_of_a_request(hit: TrackingRequest, by: str) -> None:
    verdict = tracking.classify(hit)
    assert verdict.by == by
    assert bool(verdict.why) == (verdict.by is not FeedbackClass.human)


def clicks(*at: tuple[int, float]) -> list[Click]:
    noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
    return [Click(number, link, noon + timedelta(seconds=s)) for number, (link, s) in enumerate(at)]


def test_three_links_within_two_seconds_are_a_burst() -> None:
    assert tracking.burst(clicks((1, 0), (2, 1), (3, 2))) == [0, 1, 2]
    assert tracking.burst(clicks((1, 0), (2, 1), (3, 2.1))) == []
    assert tracking.burst(clicks((1, 0), (1, 0.5), (2, 1), (1, 1.5))) == []
    assert tracking.burst(clicks((9, 0), (1, 10), (2, 10.5), (3, 11), (4, 12.5), (9, 30))) == [1, 2, 3, 4]


def test_a_burst_is_found_whichever_click_arrives_last() -> None:
    all_of_them = clicks((1, 0), (2, 0.5), (3, 1), (4, 2.5), (5, 2.9))
    for order in permutations(all_of_them):
        blamed: set[int] = set()
        arrived: list[Click] = []
        for click in order:
            arrived.append(click)
            near = [candidate for candidate in arrived if abs(candidate.at - click.at) <= tracking.BURST]
            blamed.update(tracking.burst(sorted(near, key=lambda candidate: candidate.at)))
        assert blamed == set(tracking.burst(all_of_them))


def visits(*at: tuple[int | None, float, str, str]) -> list[Click]:
    """Return clicks, each given as (link, second, class, User-Agent)."""
    noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
    return [Click(n, link, noon + timedelta(seconds=s), by, agent) for n, (link, s, by, agent) in enumerate(at)]


@pytest.mark.parametrize(
    ("clicks", "blamed"),
    [
        (visits((1, 0, "scanner", "A"), (1, 1, "human", "A"), (2, 3, "human", "B")), [1]),
        (visits((1, 0, "human", "A"), (2, 5, "scanner", "A"), (3, 10.1, "human", "A")), [0]),
        (visits((1, 0, "scanner", "A"), (2, 4, "human", "A"), (3, 8, "unknown", "A"), (4, 14, "human", "A")), [1, 2]),
        (visits((1, 0, "human", "A"), (None, 9, "scanner", "B"), (2, 129, "human", "C"),
                (3, 130, "human", "D")), [0, 2]),
        (visits((1, 0, "proxy", "A"), (2, 1, "human", "A")), []),
        (visits((1, 0, "human", ""), (2, 1, "human", "")), []),
    ],
)  # fmt: skip
def test_a_scanner_leaves_a_trail(clicks: list[Click], blamed: list[int]) -> None:
    assert tracking.trail(clicks) == blamed
    for order in permutations(clicks):
        assert tracking.trail(order) == blamed


@pytest.mark.parametrize("line", (INPUTS / "W02-user-agent.tsv").read_text(encoding="utf-8").splitlines()[1:])
def test_user_agents_of_mail_programs(line: str) -> None:
    _, request, agent, expected = line.split("\t")
    kind = OPEN if request == "pixel" else CLICK
    assert expected.startswith(tracking.classify(TrackingRequest(kind, "GET", agent, 60)).by)


MAIL_PROGRAMS = [
    "Microsoft Office/16.0 (Microsoft Outlook Mail 16.0.5134; Pro)",
    "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17328; Pro)",
    "Microsoft Office/15.0 (Windows NT 6.1; Microsoft Outlook 15.0.4420; Pro)",
    "Microsoft Office/14.0 (Windows NT 6.1; Microsoft Outlook 14.0.7143; Pro; ms-office; MSOffice 14)",
    "Microsoft Office Outlook 12.0",
    "Microsoft Office/12.0 (Windows NT 6.0; Microsoft Office Outlook 12.0.4518; Pro)",
]
IMAGE_PROXIES = [
    "SeznamEmailProxy/3.0.123",
    "Mozilla/5.0 (compatible; SeznamEmailProxy/2.0.11)",
    "MailRuImageProxy/1.0",
    "Mail.Ru image proxy",
    "Mozilla/5.0 (Windows NT 6.1; WOW64; rv:28.0) Gecko/20100101 Firefox/28.0 (via Mail.Ru image proxy)",
    "Mozilla/5.0 (compatible; YandexImageResizer/2.0; +http://yandex.com/bots)",
    "GMX ImageProxy",
    "WEB.DE ImageProxy",
]


@pytest.mark.parametrize("agent", MAIL_PROGRAMS)
def test_outlook_is_human_in_every_spelling(agent: str) -> None:
    assert [tracking.classify(TrackingRequest(kind, "GET", agent, 60)).by for kind in (OPEN, CLICK)] == [
        "human",
        "human",
    ]


@pytest.mark.parametrize("agent", IMAGE_PROXIES)
def test_the_image_proxy_of_a_mail_provider_is_a_proxy(agent: str) -> None:
    assert tracking.classify(TrackingRequest(OPEN, "GET", agent, 60)).by == "proxy"


@pytest.mark.parametrize("agent", ["Microsoft Office Existence Discovery", "Microsoft Office Protocol Discovery"])
def test_requests_of_office_itself_are_not_human(agent: str) -> None:
    assert tracking.classify(TrackingRequest(CLICK, "GET", agent, 60)).by == "scanner"
