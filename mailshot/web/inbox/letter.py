"""Owns reading one mail's bytes into what a person sees; refuses to touch a file, and never fails on odd bytes."""

from __future__ import annotations

import email
import re
from collections.abc import Callable
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage, Message
from email.parser import BytesHeaderParser
from functools import cached_property
from html.parser import HTMLParser
from ipaddress import ip_address
from typing import Any, cast
from urllib.parse import urlsplit

LENIENT = policy.default.clone(raise_on_defect=False)
URLS = re.compile(r"<\s*([^<>]+?)\s*>")
HEAD = re.compile(rb"<head\b[^>]*>", re.IGNORECASE)
DOCTYPE = re.compile(rb"\s*<!doctype[^>]*>", re.IGNORECASE)
SUMMARY = ("From", "To", "Subject", "Date")


@dataclass(frozen=True, slots=True)
class Summary:
    """What a list of mails shows."""

    sender: str
    to: str
    subject: str


def summary(raw: bytes) -> Summary:
    """Return the decoded From, To and Subject of a mail."""
    headers = BytesHeaderParser(policy=LENIENT).parsebytes(raw)
    return Summary(*(_header(headers, name) for name in SUMMARY[:3]))


class Letter:
    """One mail. Whatever cannot be decoded is shown as well as it can be."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._parsed: EmailMessage = email.message_from_bytes(raw, policy=LENIENT)

    @property
    def headers(self) -> dict[str, str]:
        return {name: _header(self._parsed, name) for name in SUMMARY}

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
        """The (words, address) of each link of the HTML part, in order."""
        found = _Links()
        _safely(lambda: found.feed((self.html or b"").decode("utf-8", "replace")), None)
        return found.links

    @property
    def one_click(self) -> str | None:
        """The address to post to for one-click unsubscribing (RFC 8058), when it is on this machine."""
        if "one-click" not in _header(self._parsed, "List-Unsubscribe-Post").lower():
            return None
        addresses = URLS.findall(_header(self._parsed, "List-Unsubscribe"))
        return next((url for url in map(_unfolded, addresses) if local(url)), None)

    def part(self, content_id: str) -> tuple[str, bytes] | None:
        """Return the type and bytes of an inline image by its Content-ID, None when there is no such image."""
        for part in self._parsed.walk():
            if part.get_content_maintype() == "image" and _header(part, "Content-ID").strip("<> ") == content_id:
                return part.get_content_type(), cast(bytes, part.get_payload(decode=True) or b"")
        return None

    def page(self, inline: str) -> bytes:
        """Return the HTML part for a frame: links open in a new tab, inline images come from the address `inline`."""
        html = re.sub(rb"(?i)\bcid:", inline.encode(), self.html or b"")
        place = HEAD.search(html) or DOCTYPE.match(html)
        at = place.end() if place else 0
        return html[:at] + b'<base target="_blank">' + html[at:]


def local(url: str) -> bool:
    """Tell whether an http(s) address is on this machine."""
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
    except Exception:  # the standard library's header parser raises all kinds of errors on odd headers
        value = next((str(raw) for key, raw in message.raw_items() if key.lower() == name.lower()), "")
    return value.encode("utf-8", "replace").decode("utf-8")


def _text(part: Message[Any, Any]) -> str:
    payload = _safely(lambda: part.get_payload(decode=True), None)
    if not isinstance(payload, bytes):
        return str(payload or "")
    charset = part.get_content_charset() or "utf-8"
    try:
        return payload.decode(charset, "replace")
    except (LookupError, ValueError):
        return payload.decode("utf-8", "replace")


def _safely(look: Callable[[], Any], otherwise: Any) -> Any:
    try:
        return look()
    except Exception:  # a mail may be arbitrarily broken; showing less of it beats showing an error
        return otherwise


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self._open: str | None = None
        self._words: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag == "a" and given.get("href"):
            self._open, self._words = str(given["href"]), []
        elif tag == "img" and self._open is not None:
            self._words.append(given.get("alt") or "")

    def handle_data(self, data: str) -> None:
        self._words.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._open is not None:
            self.links.append((" ".join(" ".join(self._words).split()), self._open))
            self._open = None
