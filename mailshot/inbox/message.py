"""Reads the bytes of one mail into what a page shows. Malformed mails raise no error, and the work is bounded.

A mail with more parts or levels than people write is not parsed: only its headers and its source are shown. Python's
parser recurses for each part within a part, and its parser of addresses reads a long header again and again.
"""

from __future__ import annotations

import codecs
import email
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import EmailMessage, Message
from email.policy import EmailPolicy, Policy
from functools import cached_property
from ipaddress import ip_address
from typing import Any, cast
from urllib.parse import urlsplit

from lxml import etree as lxml_etree
from lxml import html as lxml_html

MAX_HEADER = 4_000
MAX_HEAD_BYTES = 64 * 1024
MAX_LEVELS, MAX_PARTS, MAX_LINKS, MAX_LINK_TEXT = 20, 100, 1_000, 500
URLS = re.compile(r"<([^<>]+)>")
HEAD = re.compile(rb"<head\b[^>]*>", re.IGNORECASE)
DOCTYPE = re.compile(rb"\s*<!doctype[^>]*>", re.IGNORECASE)
SUMMARY = ("From", "To", "Subject", "Date")
_BOUNDARY = re.compile(rb"""\bboundary\s*=\s*(?:"([^"\r\n]{0,200})"?|([^\s;]{0,200}))""", re.IGNORECASE)
# In several parameters, or percent-encoded (RFC 2231): rare.
_SPLIT_BOUNDARY = re.compile(rb"\bboundary\s*\*", re.IGNORECASE)
_BLANK_LINE = re.compile(rb"(?>\r\n|\r|\n)(?>\r\n|\r|\n)")
_IMAGE = re.compile(r"image/[a-z0-9.+-]{1,40}")
_INNER_MAIL = re.compile(rb"^content-type:\s*message/", re.IGNORECASE | re.MULTILINE)
# Codecs of Python that are not charsets of mail; some take quadratic time.
_NO_CHARSETS = frozenset({"idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined"})


class _Bounded(EmailPolicy):
    """Parses only the beginning of each header."""

    def header_fetch_parse(self, name: str, value: str) -> Any:
        return super().header_fetch_parse(name, value[:MAX_HEADER])


LENIENT: Policy[EmailMessage] = _Bounded(raise_on_defect=False)  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class MessageSummary:
    """What a list of mails shows."""

    sender: str
    to: str
    subject: str


def summary(raw: bytes) -> MessageSummary:
    """Return the decoded From, To and Subject of a mail."""
    return MessageSummary(*(_decoded_header(raw, name) for name in SUMMARY[:3]))


class CaughtMessage:
    """One mail. What cannot be decoded is shown with replacement characters."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        whole = raw if _is_simple(raw) else _head(raw)
        empty: EmailMessage = EmailMessage()
        self._parsed: EmailMessage = _safely(lambda: email.message_from_bytes(whole, policy=LENIENT), empty)

    @property
    def headers(self) -> dict[str, str]:
        return {name: _decoded_header(self.raw, name) for name in SUMMARY}

    @cached_property
    def html(self) -> bytes | None:
        """The HTML part as UTF-8, None when there is none."""
        part = _safely(lambda: self._parsed.get_body(("html",)), None)
        return _text(part).encode("utf-8", "replace") if part is not None else None

    @cached_property
    def text(self) -> str | None:
        part = _safely(lambda: self._parsed.get_body(("plain",)), None)
        return _text(part) if part is not None else None

    @property
    def source(self) -> str:
        return self.raw.decode("utf-8", "replace").replace("\r\n", "\n")

    @cached_property
    def links(self) -> list[tuple[str, str]]:
        """The (text, address) of each link of the HTML part, in order."""
        return _safely(lambda: list(_links(self.html or b"")), [])  # type: ignore[no-any-return]

    @property
    def one_click(self) -> str | None:
        """The address to post to for one-click unsubscribing (RFC 8058), when it is on this machine."""
        if "one-click" not in _header(self._parsed, "List-Unsubscribe-Post").lower():
            return None
        addresses = URLS.findall(_header(self._parsed, "List-Unsubscribe"))
        return next((url for url in map(_unfolded, addresses) if is_local(url)), None)

    @cached_property
    def attachments(self) -> list[tuple[str, int]]:
        """The name and the size in bytes of each attachment."""
        parts = _safely(lambda: [part for part in self._parsed.iter_attachments() if part.is_attachment()], [])
        sized = ((part, _safely(lambda: part.get_payload(decode=True), b"") or b"") for part in parts)  # noqa: B023
        return [(_safely(part.get_filename, None) or "(no name)", len(content)) for part, content in sized]

    def part(self, content_id: str) -> tuple[str, bytes] | None:
        """Return the type and bytes of an inline image by its Content-ID, None when there is no such image."""
        for part in self._parsed.walk():
            kind = _safely(part.get_content_type, "")
            if _IMAGE.fullmatch(kind) and _header(part, "Content-ID").strip("<> ") == content_id:
                return kind, cast(bytes, _safely(lambda: part.get_payload(decode=True), b"") or b"")  # noqa: B023
        return None

    def page(self, inline: str) -> bytes:
        """Return the HTML part for a frame: links open in a new tab, inline images come from the address `inline`."""
        html = re.sub(rb"(?i)\bcid:", inline.encode(), self.html or b"")
        place = HEAD.search(html, 0, MAX_HEAD_BYTES) or DOCTYPE.match(html, 0, MAX_HEAD_BYTES)
        at = place.end() if place else 0
        return html[:at] + b'<base target="_blank">' + html[at:]


def is_local(url: str) -> bool:
    """Return whether an http(s) address is on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        known = parts.scheme in ("http", "https") and parts.port != 0
        return known and (host == "localhost" or ip_address(host).is_loopback)
    except ValueError:
        return False


def _unfolded(url: str) -> str:
    return "".join(url.split())


def _header(message: Message[Any, Any], name: str) -> str:
    try:
        value = str(message.get(name, ""))
    except Exception:  # the standard library's header parser raises all kinds of errors on malformed headers
        value = next((str(raw) for key, raw in message.raw_items() if key.lower() == name.lower()), "")
    return value[:MAX_HEADER].encode("utf-8", "replace").decode("utf-8")


def _head(raw: bytes) -> bytes:
    blank = _BLANK_LINE.search(raw)
    return raw[: blank.start() if blank else MAX_HEAD_BYTES][:MAX_HEAD_BYTES]


def _decoded_header(raw: bytes, name: str) -> str:
    """Return a header of the mail without parsing the mail; empty when it has none."""
    line = re.search(rb"^" + name.encode() + rb"[ \t]*:(.*(?:\r?\n[ \t].*)*)", _head(raw), re.IGNORECASE | re.MULTILINE)
    value = " ".join(line[1][:MAX_HEADER].decode("utf-8", "surrogateescape").split()) if line else ""
    decoded = _safely(lambda: str(LENIENT.header_fetch_parse(name, value)), value)
    return str(decoded)[:MAX_HEADER].encode("utf-8", "replace").decode()


def _text(part: Message[Any, Any]) -> str:
    payload = _safely(lambda: part.get_payload(decode=True), None)
    if not isinstance(payload, bytes):
        return str(payload or "")
    charset = _safely(part.get_content_charset, "") or "utf-8"
    try:
        known = codecs.lookup(charset).name not in _NO_CHARSETS
        text = payload.decode(charset if known else "utf-8", "replace")
    except (LookupError, ValueError):
        text = payload.decode("utf-8", "replace")
    return text.encode("utf-8", "replace").decode()


def _is_simple(raw: bytes) -> bool:
    """Return whether a mail has few enough parts and levels to be parsed."""
    if raw.lower().count(b"boundary") + len(_INNER_MAIL.findall(raw)) > MAX_LEVELS or _SPLIT_BOUNDARY.search(raw):
        return False
    boundaries = [value for found in _BOUNDARY.finditer(raw) if (value := found[1] or found[2])]
    return sum(raw.count(b"--" + boundary) for boundary in set(boundaries)) <= MAX_PARTS + len(boundaries)


def _links(html: bytes) -> Iterator[tuple[str, str]]:
    """Yield the text and the address of the first links."""
    page = lxml_html.document_fromstring(html, parser=lxml_html.HTMLParser(encoding="utf-8"))
    for link in page.xpath("//a[@href]")[:MAX_LINKS]:
        yield " ".join(_link_text(link).split()), link.get("href")[:MAX_HEADER]


def _link_text(link: Any) -> str:
    """Return the first characters of a link's text and image texts: an unclosed link contains all that follows it."""
    texts: list[str] = []
    for event, element in lxml_etree.iterwalk(link, events=("start", "end")):
        text = (element.text or element.get("alt")) if event == "start" else element.tail if element is not link else ""
        texts.append((text or "")[:MAX_LINK_TEXT])
        if sum(map(len, texts)) >= MAX_LINK_TEXT:
            break
    return " ".join(texts)[:MAX_LINK_TEXT]


def _safely(read: Callable[[], Any], default: Any) -> Any:
    try:
        return read()
    except Exception:  # a mail may be malformed in any way; showing less of it is better than an error
        return default
