"""Checks links and replaces them with click-tracking links.

Links are found once, when the template is compiled. At send time the final address is checked (http or https only)
and, if the customer consents to tracking, replaced with a click link. A link's id is a hash of its URL, so it is
the same in every process.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from markupsafe import Markup, escape

from mailshot.render.lexer import Segment, expression, statement, tokens_of, without_raw
from mailshot.render.problems import Place, RenderError, TemplateProblems

Part = str | Segment
_STATIC = re.compile(r"https?://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::\d{1,5})?(?=[/?#]|$)", re.IGNORECASE)
_HOST = re.compile(r"https?://([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::\d{1,5})?(?:[/?#]|$)", re.IGNORECASE)
_UNTRACKED = re.compile(r"(?:mailto:|tel:|#)", re.IGNORECASE)
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029\"<>\\^`{|}]")
OWN_LINKS = (("links", ".", "unsubscribe"), ("links", ".", "preferences"))
"""Mailshot's own links: never tracked or replaced."""
MAX_CACHED_LENGTH = 200
"""Longest URL that is cached, in characters; caching thousands of long ones would use too much memory."""


@dataclass(frozen=True, slots=True)
class LinkTarget:
    """A link in a mail. `id` is positive and fits in 63 bits."""

    id: int
    url: str


@dataclass(frozen=True, slots=True)
class Tracking:
    """The tracking URLs of one delivery: clicks (by link id) and the pixel. Only with the customer's consent."""

    click: Callable[[int], str]
    pixel: str


def link_target(url: str) -> LinkTarget:
    """Return the link target of a URL; its id is the first 63 bits of the SHA-256, never 0."""
    return _cached_link(url) if len(url) <= MAX_CACHED_LENGTH else _link(url)


def _link(url: str) -> LinkTarget:
    number = int.from_bytes(hashlib.sha256(url.encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 1
    return LinkTarget(number or 1, url)


_cached_link = lru_cache(maxsize=16384)(_link)


@dataclass(slots=True)
class LinkSlots:
    """The links of one template, in order."""

    report: TemplateProblems
    places: list[Place] = field(default_factory=list)
    insecure: list[Place] = field(default_factory=list)
    """Links that begin with http://."""
    without_target: list[Place] = field(default_factory=list)
    """Links without a target."""
    own_pages: set[str] = field(default_factory=set)
    """Mailshot pages that the template links to: 'unsubscribe', 'preferences'."""

    def __call__(self, parts: list[Part], attributes: dict[str, str], place: Place) -> list[Part]:
        """Check one href and return its replacement: the same parts, or tags that call `_link`."""
        first = parts[0] if parts else ""
        if not parts or parts == ["#"]:
            self.without_target.append(place)
            return parts
        if isinstance(first, Segment):
            return self._expression(first, parts, attributes, place)
        address = html.unescape(first)
        if _UNTRACKED.match(address):
            return parts
        if not self._check_literal(address, len(parts) == 1, place):
            return parts
        if address.lower().startswith("http://"):
            self.insecure.append(place)
        return self._slot(parts, "data-no-track" not in attributes, place, open_host=False)

    def _check_literal(self, address: str, whole: bool, place: Place) -> bool:
        host = _STATIC.match(address)
        fixed = host and (whole or len(address) > host.end())
        if not fixed or _UNSAFE.search(address):
            message = "A link must begin with a literal http(s)://host/, or be a single {{ … }}."
            self.report.add(place, message, "mailto:, tel: and #anchor links are also allowed.")
        return bool(fixed)

    def _expression(self, first: Segment, parts: list[Part], attributes: dict[str, str], place: Place) -> list[Part]:
        if len(parts) > 1 or first.kind != "expression":
            message = "A link that begins with {{ … }} must contain nothing else."
            self.report.add(first.place, message, "Put https://host/ before the tag.")
            return parts
        words = tuple(token.text for token in first.tokens)
        if words in OWN_LINKS:
            self.own_pages.add(words[-1])
            return parts
        return self._slot(parts, "data-no-track" not in attributes, place, open_host=True)

    def _slot(self, parts: list[Part], tracked: bool, place: Place, open_host: bool) -> list[Part]:
        number = len(self.places)
        self.places.append(place)
        flags = f"{number} , {int(tracked)} , {int(open_host)} , "
        if open_host and isinstance(parts[0], Segment):
            return [
                expression([*tokens_of(f"_link ( {flags} (", place), *parts[0].tokens, *tokens_of(") )", place)], place)
            ]
        capture = statement(tokens_of("set _address", place), place)
        release = statement(tokens_of("endset", place), place)
        return [
            capture,
            *without_raw(parts),
            release,
            expression(tokens_of(f"_link ( {flags} _address )", place), place),
        ]


class LinkRewriter:
    """The `_link` function during one render: checks URLs, replaces them and collects the links."""

    mail_function = True

    def __init__(self, places: Sequence[Place], allowed_hosts: frozenset[str], tracking: Tracking | None) -> None:
        self._places, self._hosts, self._tracking = places, allowed_hosts, tracking
        self.links: dict[int, LinkTarget] = {}

    def __call__(self, number: int, tracked: int, open_host: int, address: object) -> object:
        """Return the URL to send. Raises RenderError if its host is not allowed in this mail."""
        written = address if isinstance(address, Markup) else escape(str(address or ""))
        url = html.unescape(written)
        if open_host or _UNSAFE.search(url):
            url = self._checked(number, _percent_encoded(url), open_host)
            written = escape(url)
        if not (tracked and self._tracking):
            return written
        found = link_target(url)
        self.links[found.id] = found
        return escape(self._tracking.click(found.id))

    def _checked(self, number: int, url: str, open_host: int) -> str:
        host = _HOST.match(url)
        if host is None or (open_host and host[1].lower() not in self._hosts):
            where = host[1] if host else url[:60]
            raise RenderError(f"The link leads to '{where}', which is not in link_hosts.", self._places[number])
        return url


def _percent_encoded(url: str) -> str:
    """Percent-encode the characters that are not allowed in a URL."""
    return _UNSAFE.sub(lambda m: "".join(f"%{byte:02X}" for byte in m[0].encode()), url.strip())
