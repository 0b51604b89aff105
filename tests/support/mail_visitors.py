"""Who visits the links of a mail: eight kinds of mail gateways and proxies, as they are documented, and people.

Each kind gives its visits to one mail by a seeded `Random`. Gateways come with the User-Agents of current browsers, as
those do that hide from the pages they examine. `GATEWAYS` and `PEOPLE` name all kinds; those of `AT_HANDOVER` come
while the server has not accepted the mail yet.
"""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import unescape
from random import Random
from typing import Any

HOUR = 3600.0
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
)
EDGE = f"{CHROME} Edg/142.0.0.0"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 26_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 "
    "Mobile/15E148 Safari/604.1"
)
ANDROID = (
    "Mozilla/5.0 (Linux; Android 16; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36"
)
OUTLOOK = "Mozilla/4.0 (compatible; ms-office; MSOffice 16)"
APPLE_PRIVACY = "Mozilla/5.0"
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
BROWSERS = (CHROME, EDGE, FIREFOX, IPHONE, ANDROID)
_HREF = re.compile(r'<a [^>]*?href="([^"]*)"')
_IMAGE = re.compile(r'<img src="([^"]*/o/[^"]*)"')


@dataclass(frozen=True, slots=True)
class DeliveredMail:
    """What a mail that arrived links to: `links` are tracked and shown, `pages` are those of the customer site."""

    recipient: str
    links: tuple[str, ...]
    hidden: str
    pages: tuple[str, ...]
    pixel: str

    @classmethod
    def parse(cls, recipient: str, data: bytes) -> DeliveredMail:
        """Read a mail as it was handed over."""
        message: Any = email.message_from_bytes(data, policy=email.policy.SMTP)
        html = message.get_body(("html",)).get_content()
        urls = [unescape(url) for url in _HREF.findall(html)]
        *links, hidden = [url for url in urls if "/c/" in url]
        pages = tuple(dict.fromkeys(url for url in urls if "/c/" not in url))
        return cls(recipient, tuple(dict.fromkeys(links)), hidden, pages, unescape(_IMAGE.findall(html)[0]))

    @property
    def all_urls(self) -> tuple[str, ...]:
        """Every link in the order of the mail."""
        return (*self.links, *self.pages, self.hidden)


@dataclass(frozen=True, slots=True)
class Visit:
    """One request, so many seconds after the dot."""

    after: float
    url: str
    agent: str
    method: str = "GET"


Visits = list[Visit]
Visitor = Callable[[Random, DeliveredMail], Visits]


def detonates_at_delivery(chance: Random, mail: DeliveredMail) -> Visits:
    """All links at once within seconds, by a sandbox of many machines (Defender, Barracuda)."""
    begin = chance.uniform(0.3, 3)
    return [Visit(begin + chance.uniform(0, 1.5), url, CHROME) for url in mail.all_urls]


def samples_one_link(chance: Random, mail: DeliveredMail) -> Visits:
    """One link a few seconds after delivery."""
    return [Visit(chance.uniform(0.5, 5.2), chance.choice(mail.links), EDGE)]


def asks_for_heads(chance: Random, mail: DeliveredMail) -> Visits:
    """HEAD, then GET, one link after the other, minutes later."""
    moment, visits = chance.uniform(20, 400), []
    for url in mail.links:
        moment += chance.uniform(2, 5)
        visits += [Visit(moment, url, CHROME, "HEAD"), Visit(moment + chance.uniform(0.2, 1.8), url, CHROME)]
    return visits


def opens_in_a_sandbox(chance: Random, mail: DeliveredMail) -> Visits:
    """Every link of the mail's HTML, hours later, as slowly as a reader."""
    return _one_by_one(chance, mail.all_urls, chance.uniform(HOUR, 12 * HOUR), lambda: CHROME)


def changes_its_agent(chance: Random, mail: DeliveredMail) -> Visits:
    """Every link in any order, also the one for unsubscribing, each time as another browser."""
    urls = chance.sample(mail.all_urls, len(mail.all_urls))
    return _one_by_one(chance, tuple(urls), chance.uniform(30, 2 * HOUR), lambda: chance.choice(BROWSERS), 8)


def apple_privacy_proxy(chance: Random, mail: DeliveredMail) -> Visits:
    """Loads the images of each mail that arrives, read or not (Apple Mail Privacy Protection)."""
    return [Visit(chance.uniform(5, 900), mail.pixel, APPLE_PRIVACY)]


def gmail_image_proxy(chance: Random, mail: DeliveredMail) -> Visits:
    return [Visit(chance.uniform(5, 9 * HOUR), mail.pixel, GMAIL)]


def scans_before_accepting(chance: Random, mail: DeliveredMail) -> Visits:
    """Two links, before the server replies to the dot."""
    return [Visit(0, url, CHROME) for url in mail.links[:2]]


def reads_and_clicks(chance: Random, mail: DeliveredMail) -> Visits:
    return _person(chance, mail, chance.uniform(20, 40 * HOUR), clicks=1)


def clicks_several(chance: Random, mail: DeliveredMail) -> Visits:
    return _person(chance, mail, chance.uniform(60, 30 * HOUR), clicks=chance.randint(2, 4))


def is_quick(chance: Random, mail: DeliveredMail) -> Visits:
    """Has the mail program open when the mail arrives."""
    return _person(chance, mail, chance.uniform(5.5, 15), clicks=1)


def is_quick_on_a_phone(chance: Random, mail: DeliveredMail) -> Visits:
    """Taps a link in the notification's preview, four seconds after the dot."""
    return [Visit(chance.uniform(3, 4), mail.links[0], IPHONE)]


def blocks_images(chance: Random, mail: DeliveredMail) -> Visits:
    return [Visit(chance.uniform(60, 30 * HOUR), chance.choice(mail.links), FIREFOX)]


def forwards(chance: Random, mail: DeliveredMail) -> Visits:
    """Clicks, and so does a friend with the same mail hours later."""
    mine = _person(chance, mail, chance.uniform(60, HOUR), clicks=1)
    return mine + _person(chance, mail, chance.uniform(3 * HOUR, 30 * HOUR), clicks=1)


def opens_twice(chance: Random, mail: DeliveredMail) -> Visits:
    """Comes back the day after to the link of the first day."""
    first = _person(chance, mail, chance.uniform(60, 5 * HOUR), clicks=1)
    return first + [Visit(visit.after + 24 * HOUR, visit.url, visit.agent) for visit in first]


def unsubscribes(chance: Random, mail: DeliveredMail) -> Visits:
    """Looks at an offer, then at the page for unsubscribing."""
    visits = _person(chance, mail, chance.uniform(60, 30 * HOUR), clicks=1)
    return [*visits, Visit(visits[-1].after + chance.uniform(3, 30), mail.pages[0], visits[-1].agent)]


#: Clicks of these machines are to be told apart from people's; the proxies only open.
GATEWAYS: Mapping[str, Visitor] = {
    function.__name__: function
    for function in (
        detonates_at_delivery, samples_one_link, asks_for_heads, opens_in_a_sandbox, changes_its_agent,
        apple_privacy_proxy, gmail_image_proxy, scans_before_accepting,
    )
}  # fmt: skip
AT_HANDOVER = ("scans_before_accepting",)
PROXIES = ("apple_privacy_proxy", "gmail_image_proxy")
#: Behind these, half of the mails are read by a person, too.
PEOPLE: Mapping[str, tuple[Visitor, int]] = {
    function.__name__: (function, share)
    for function, share in (
        (reads_and_clicks, 40), (clicks_several, 20), (is_quick, 8), (is_quick_on_a_phone, 2), (blocks_images, 10),
        (forwards, 6), (opens_twice, 8), (unsubscribes, 6),
    )
}  # fmt: skip
"""Each with how many of a hundred people are like that."""


def _person(chance: Random, mail: DeliveredMail, moment: float, clicks: int) -> Visits:
    """Open the mail, in most cases, and click some links some seconds apart."""
    agent = chance.choice(BROWSERS)
    opened = OUTLOOK if agent in (EDGE, FIREFOX) else agent
    visits = [Visit(moment - min(4, moment / 2), mail.pixel, opened)] if chance.random() < 0.8 else []
    for url in chance.sample(mail.links, clicks):
        visits.append(Visit(moment, url, agent))
        moment += chance.uniform(2, 40)
    return visits


def _one_by_one(
    chance: Random, urls: tuple[str, ...], moment: float, agent: Callable[[], str], pause: float = 15
) -> Visits:
    visits = []
    for url in urls:
        visits.append(Visit(moment, url, agent()))
        moment += chance.uniform(3, pause)
    return visits
