"""Checks links and replaces them with click-tracking links.

Links are found once, when the template is compiled. At send time the final address is checked (http or https only)
and, if the customer consents to tracking, replaced with a click link. A link's id is a hash of its URL, so it is
the same in every process.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import idna
from markupsafe import Markup, escape

from mailshot.render import filters
from mailshot.render.document import Part
from mailshot.render.lexer import Segment, expression, statement, tokens_of, without_raw
from mailshot.render.markup import unescape_attribute
from mailshot.render.problems import Place, RenderError, TemplateProblems

_ABSOLUTE = re.compile(r"(?P<scheme>https?)://(?P<host>[^\s/?#@:\\]+)(?P<port>:\d{1,5})?(?=[/?#]|$)", re.IGNORECASE)
_ASCII_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_REFUSED_SCHEMES = frozenset(
    {"about:", "blob:", "data:", "file:", "filesystem:", "ftp:", "http:", "https:", "intent:", "jar:", "javascript:",
     "ms-msdt:", "search-ms:", "vbscript:", "view-source:", "ws:", "wss:"}
)  # fmt: skip
"""Schemes that run something, open files, or are misspelled web addresses. Others open a program and are kept:
`mailto:`, `tel:`, `sms:`, `whatsapp:`, or an app's own."""
_UNSAFE = re.compile(r"[^!#$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]")
"""What must be percent-encoded in a URL (RFC 3986)."""
ADDRESS_SCHEMES = ("mailto:", "tel:", "sms:")
"""Schemes before a mail address or a number, which a plain text shows without them."""
_BLANKS = "".join(map(chr, range(33)))
"""What browsers remove at the end of a URL."""
_IGNORED = re.compile(r"[\t\n\r]")
_BLANK = re.compile(r"\s")
_PATH = re.compile(r"[^?#]*")
OWN_PAGES = ("unsubscribe", "preferences", "view_in_browser", "archive")
"""Pages of Mailshot that a mail may link to: `{{ links.… }}`."""
OWN_LINKS = tuple(("links", ".", page) for page in OWN_PAGES)
"""Mailshot's own links: never tracked or replaced."""
LOGO = ("company", ".", "logo")
"""The company's logo: its address was checked when rules/company.yaml was read."""
MAX_CACHED_LENGTH = 200
"""Longest URL that is cached, in characters; caching thousands of long ones would use too much memory."""


_URL_AT_END = re.compile(r"https?://[^\s<>\"]*\Z", re.IGNORECASE)
_ENCODED_OR_NOT = re.compile(r"(?P<encoded>%[0-9A-Fa-f]{2})|.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class LinkTarget:
    """A link in a mail. `id` is positive and fits in 63 bits."""

    id: int
    url: str


@dataclass(frozen=True, slots=True)
class Tracking:
    """The tracking URLs of one delivery: clicks (by link id) and the pixel. Only with the customer's consent.

    `hidden` is a link that no person sees, for telling machines apart that follow every link; "" for none.
    """

    click: Callable[[int], str]
    pixel: str
    hidden: str = ""


def link_target(url: str) -> LinkTarget:
    """Return the link target of a URL; its id is the first 63 bits of the SHA-256, never 0.

    Raises ValueError for what is no http or https URL.
    """
    return _cached_link(url) if len(url) <= MAX_CACHED_LENGTH else _link(url)


def _link(url: str) -> LinkTarget:
    url = normalized(url)
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

    def __call__(self, parts: Sequence[Part], tracked: bool, place: Place) -> list[Part]:
        """Check one URL and return what to send in its place: the same parts, or tags that call `_link`."""
        parts = list(parts)
        if not parts or parts == ["#"]:
            self.without_target.append(place)
            return parts
        first = parts[0]
        if isinstance(first, Segment):
            return self._expression(first, parts, tracked, place)
        url = _stripped(unescape_attribute(first))
        if url.startswith("#") or opens_program(url):
            return encoded_values(parts)
        fault = _fault(url, len(parts) == 1)
        if fault:
            self.report.add(place, *fault)
            return parts
        if url.lower().startswith("http://"):
            self.insecure.append(place)
        return self._slot(encoded_values(parts), tracked, place, open_host=False)

    def _expression(self, first: Segment, parts: list[Part], tracked: bool, place: Place) -> list[Part]:
        if len(parts) > 1 or first.kind != "expression":
            message = "A link that begins with {{ … }} must contain nothing else."
            self.report.add(first.place, message, "Put https://host/ before the tag.")
            return parts
        words = tuple(token.text for token in first.tokens)
        if words in OWN_LINKS:
            self.own_pages.add(words[-1])
            return parts
        if words == LOGO:
            if tracked:
                self.report.add(first.place, "'company.logo' is a picture, not a page.", "Write the address of a page.")
            return parts
        return self._slot(parts, tracked, place, open_host=True)

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


def opens_program(url: str) -> bool:
    """Return whether a URL opens a program, such as `mailto:` and `whatsapp:`: such a link is kept as it is."""
    scheme = _SCHEME.match(url)
    return scheme is not None and scheme[0].lower() not in _REFUSED_SCHEMES


def _fault(url: str, whole: bool) -> tuple[str, str] | None:
    """Return what is wrong with the literal beginning of a URL, and the remedy; None for a good one.

    `whole` says that no tag follows. Before a tag, the host must be complete: a value could make another of it.
    """
    host = _ABSOLUTE.match(url)
    schemes = ", ".join(ADDRESS_SCHEMES)
    remedy = f"Links may also begin with {schemes} or an app's scheme, or with # for a place in the mail."
    if host is None or not (whole or len(url) > host.end()):
        if "\\" in url or "@" in url.partition("//")[2].partition("/")[0]:
            return "A link must have neither user names nor \\ before its path.", remedy
        return "A link must begin with a literal http(s)://host/, or be a single {{ … }}.", remedy
    try:
        ascii_host(host["host"])
    except ValueError:
        return f"'{host['host']}' is not a host.", "Write it as in a browser's address bar, such as shop.example."
    return None


def encoded_values(parts: Sequence[Part]) -> list[Part]:
    """Percent-encode what tags print after the first part of a URL."""
    encoded: list[Part] = list(parts[:1])
    literal = parts[0] if parts and isinstance(parts[0], str) else ""
    for part in parts[1:]:
        encoded.append(part if isinstance(part, str) else _encoded(part, literal))
        literal += part if isinstance(part, str) else ""
    return encoded


def encoded_in_text(pieces: Iterable[Segment]) -> list[Segment]:
    """Percent-encode what tags print inside the URLs of a plain text: from `https://` to the next blank."""
    encoded: list[Segment] = []
    url = ""
    for piece in pieces:
        if piece.kind == "data":
            match = _URL_AT_END.search(url + piece.text)
            url = match[0] if match else ""
            encoded.append(piece)
        else:
            encoded.append(_encoded(piece, url) if url else piece)
    return encoded


def _encoded(tag: Segment, literal: str) -> Segment:
    """Percent-encode what a tag prints after the `literal` part of a URL; a statement stays as it is."""
    if tag.kind != "expression" or _is_encoded(tag):
        return tag
    function = "_in_query" if "?" in literal or "#" in literal else "_in_path"
    tokens = [*tokens_of(f"{function} ( (", tag.place), *tag.tokens, *tokens_of(") )", tag.place)]
    return expression(tokens, tag.place)


def _is_encoded(tag: Segment) -> bool:
    return tuple(token.text for token in tag.tokens[-2:]) == ("|", "urlencode")


@lru_cache(maxsize=4096)
def ascii_host(host: str) -> str:
    """Return a host in ASCII, labels in other alphabets as A-labels (IDNA 2008). Raises ValueError for what is none."""
    if not host.isascii():
        host = idna.encode(host, uts46=True).decode()
    if not _ASCII_HOST.fullmatch(host):
        raise ValueError(host)
    return host


def _stripped(url: str) -> str:
    """Return a URL without blanks around it. Some blanks at its end belong to it, as in browsers."""
    return url.lstrip().rstrip(_BLANKS)


def without_blanks(url: Sequence[Part]) -> list[Part]:
    """Percent-encode the blanks in the texts of a URL, at which a reader of plain text would end the link."""
    last = len(url) - 1
    texts = (
        (part.lstrip() if number == 0 else part).rstrip(_BLANKS if number == last else "")
        if isinstance(part, str)
        else part
        for number, part in enumerate(url)
    )
    return [
        _BLANK.sub(lambda match: quote(match[0]), _IGNORED.sub("", part)) if isinstance(part, str) else part
        for part in texts
    ]


def normalized(url: str) -> str:
    """Return a URL as it is requested: the host in ASCII, everything else percent-encoded where it must be (RFC 3986).

    As in browsers (https://url.spec.whatwg.org/#concept-basic-url-parser), line ends and tabs after the host are
    removed, and a backslash in the path is a slash. Raises ValueError for what is no http or https URL.
    """
    url = _stripped(url)
    host = _ABSOLUTE.match(url)
    if host is None:
        raise ValueError(url)
    rest = _IGNORED.sub("", url[host.end() :])
    path = _PATH.match(rest)
    assert path
    rest = path[0].replace("\\", "/") + rest[path.end() :]
    rest = _UNSAFE.sub(lambda match: quote(match[0], safe="", errors="replace"), rest)
    return f"{host['scheme'].lower()}://{ascii_host(host['host'])}{host['port'] or ''}{rest}"


class LinkRewriter:
    """The `_link` function during one render: checks URLs, replaces them and collects the links."""

    mail_function = True

    def __init__(self, places: Sequence[Place], allowed_hosts: frozenset[str], tracking: Tracking | None) -> None:
        self._places, self._hosts, self._tracking = places, allowed_hosts, tracking
        self.links: dict[int, LinkTarget] = {}

    def __call__(self, number: int, tracked: int, open_host: int, address: object) -> object:
        """Return the URL to send. Raises RenderError if its host is not allowed in this mail.

        Without tracking, a URL of the template is sent as its author wrote it.
        """
        if open_host:
            target = self._target(number, str("" if address is None else address))
            self._check_host(number, target.url)
            written = escape(target.url)
        else:
            written = address if isinstance(address, Markup) else escape(str(address))
        if not (tracked and self._tracking):
            return written
        if not open_host:
            target = self._target(number, unescape_attribute(written))
        self.links[target.id] = target
        return escape(self._tracking.click(target.id))

    def _target(self, number: int, url: str) -> LinkTarget:
        try:
            return link_target(url)
        except ValueError:
            raise self._refused(number, url[:60]) from None

    def _check_host(self, number: int, url: str) -> None:
        host = _ABSOLUTE.match(url)
        if host is None or host["host"].lower() not in self._hosts:
            raise self._refused(number, host["host"] if host else url[:60])

    def _refused(self, number: int, where: str) -> RenderError:
        return RenderError(f"The link leads to '{where}', which is not in link_hosts.", self._places[number])


def _mail_function(function: Any) -> Any:
    function.mail_function = True
    return function


@_mail_function
def in_query(value: object) -> str:
    """Percent-encode a value for a query or fragment: everything but letters, digits and `-._~`."""
    return quote(_as_text(value), safe="", errors="replace")


@_mail_function
def in_path(value: object) -> str:
    """Percent-encode a value for a path, in which `/` and sequences that are encoded already stay as they are."""
    return _ENCODED_OR_NOT.sub(
        lambda match: match[0] if match["encoded"] else quote(match[0], safe="/:@!$'()*,;=~", errors="replace"),
        _as_text(value),
    )


def _as_text(value: object) -> str:
    return "" if value is None else str(filters.as_machines_write(value))
