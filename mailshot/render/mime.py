"""Assembles the bytes of one mail (RFC 5322, RFC 2045).

The same rendered mail and headers give the same bytes in any process: no clock and no randomness is used. The SMTP
client escapes dots at line beginnings.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from email.utils import format_datetime
from functools import lru_cache

from mailshot.render import headers
from mailshot.render.problems import RenderError
from mailshot.render.template import RenderedMail

CRLF = b"\r\n"
_PLAIN = bytes(
    10 if code in b"\r\x0b\x0c" else 32 if code in b"\x7f" or (code < 32 and code not in b"\t\n") else code
    for code in range(256)
)
_SEPARATORS = ("\x85".encode(), "\u2028".encode(), "\u2029".encode())
_BLOCK = re.compile(r"(?:[!-9;-~]+:(?: [^\r\n\0]*)(?:\r\n [^\r\n\0]*[^\r\n\0 ][^\r\n\0]*)*(?:\r\n|\Z))+")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True)
class MailHeaders:
    """All that the headers of one delivery say.

    `message_id` goes without angle brackets, `unsubscribe_mailto` is a mailto: address, `list_id` a domain-like name
    (RFC 2919), `feedback_id` reads `campaign:topic:account:senderid`. `extra` are headers of our own, name and text.
    A service mail goes to one customer who asked for it: it has no unsubscribe address and no `list_id`.
    """

    message_id: str
    date: datetime
    from_name: str
    from_address: str
    to_name: str
    to_address: str
    boundary_seed: str
    list_id: str = ""
    list_name: str = ""
    feedback_id: str = ""
    unsubscribe_url: str | None = None
    unsubscribe_mailto: str | None = None
    reply_to: str | None = None
    reply_to_name: str = ""
    extra: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Entity:
    """One part of a message: the lines of its header, and its body with CRLF line ends."""

    header: tuple[str, ...]
    body: bytes
    eight_bit: bool = False


@dataclass(frozen=True, slots=True)
class EnclosedFile:
    """A file encoded once for all mails of a run. `content_id` is empty for an attachment."""

    name: str
    content_id: str
    entity: Entity

    @property
    def size(self) -> int:
        """Bytes in a message."""
        return len(self.entity.body)

    @property
    def data_url(self) -> str:
        """The file as a `data:` URL, for a browser."""
        media_type = self.entity.header[0].removeprefix("Content-Type: ")
        return f"data:{media_type};base64,{self.entity.body.replace(CRLF, b'').decode()}"


def encode_file(name: str, media_type: str, content: bytes, content_id: str = "") -> EnclosedFile:
    """Encode a picture that the HTML shows by its `content_id` (RFC 2392), or without one an attachment (RFC 2183)."""
    charset = '; charset="utf-8"' if media_type.startswith("text/") and _is_utf8(content) else ""
    header = (
        f"Content-Type: {media_type}{charset}",
        "Content-Transfer-Encoding: base64",
        *([f"Content-ID: <{content_id}>"] if content_id else []),
        headers.disposition("inline" if content_id else "attachment", name),
    )
    return EnclosedFile(name, content_id, Entity(header, _base64(content)))


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _base64(content: bytes) -> bytes:
    return base64.encodebytes(content).rstrip(b"\n").replace(b"\n", b"\r\n")


def assemble(
    rendered: RenderedMail, envelope: MailHeaders, eight_bit: bool, files: Sequence[EnclosedFile] = ()
) -> bytes:
    """Write the message: headers, then text and HTML as alternatives. CRLF ends every line; none is over 998 octets.

    Pictures belong to the HTML (RFC 2387), attachments follow both. `eight_bit` says that the server offers 8BITMIME
    (RFC 6152). Raises RenderError for an address or identifier that cannot stand in a header.
    """
    text, html = _body(rendered.text if rendered.text.strip() else f"{rendered.subject}\n"), _body(rendered.html)
    seed = envelope.boundary_seed
    boundary = _boundary(seed, text, html)
    page = _text("html", html, eight_bit)
    pictures = [file.entity for file in files if file.content_id]
    if pictures:
        page = _multipart('related; type="text/html"', [page, *pictures], _boundary(f"related:{seed}", html))
    message = _multipart("alternative", [_text("plain", text, eight_bit), page], boundary)
    attached = [file.entity for file in files if not file.content_id]
    if attached:
        message = _multipart("mixed", [message, *attached], _boundary(f"mixed:{seed}", text, html))
    lines = [*_lines(rendered, envelope), "MIME-Version: 1.0", *message.header]
    return b"\r\n".join([_guarded(lines).encode("ascii"), b"", message.body, b""])


def _text(kind: str, raw: bytes, eight_bit: bool) -> Entity:
    encoding, body = _transfer(raw, eight_bit)
    header = (f'Content-Type: text/{kind}; charset="utf-8"', f"Content-Transfer-Encoding: {encoding}")
    return Entity(header, body, encoding == "8bit")


def _multipart(kind: str, parts: Sequence[Entity], boundary: str) -> Entity:
    edge = b"--" + boundary.encode()
    pieces: list[bytes] = []
    for part in parts:
        pieces += [edge, *(line.encode("ascii") for line in part.header), b"", part.body]
    eight_bit = any(part.eight_bit for part in parts)
    header = (f'Content-Type: multipart/{kind};\r\n boundary="{boundary}"',)
    encoding = ("Content-Transfer-Encoding: 8bit",) if eight_bit else ()
    return Entity((*header, *encoding), b"\r\n".join([*pieces, edge + b"--"]), eight_bit)


def _lines(rendered: RenderedMail, envelope: MailHeaders) -> list[str]:
    lines = [
        headers.quoted_token("Message-ID", f"<{envelope.message_id}>"),
        _date_line(envelope.date, envelope.date.tzinfo),
        headers.mailbox("From", envelope.from_name, envelope.from_address),
        headers.mailbox("To", envelope.to_name, envelope.to_address),
    ]
    if envelope.reply_to:
        lines.append(headers.mailbox("Reply-To", envelope.reply_to_name, envelope.reply_to))
    lines.append(headers.unstructured("Subject", rendered.subject))
    if envelope.list_id:
        lines.append(headers.listed("List-Id", envelope.list_name, envelope.list_id))
    ways = [uri for uri in (envelope.unsubscribe_url, envelope.unsubscribe_mailto) if uri]
    if ways:
        lines.append(headers.addresses("List-Unsubscribe", ways))
    if envelope.unsubscribe_url:
        lines.append("List-Unsubscribe-Post: List-Unsubscribe=One-Click")
    if envelope.feedback_id:
        lines.append(headers.quoted_token("Feedback-ID", envelope.feedback_id))
    taken = {line.partition(":")[0].lower() for line in lines} | {"mime-version", "bcc", "cc", "sender", "return-path"}
    for name, value in envelope.extra:
        if not _NAME.fullmatch(name) or name.lower() in taken or name.lower().startswith("content-"):
            raise RenderError(f"The header '{headers.clean(name)}' cannot be added.")
        taken.add(name.lower())
        lines.append(headers.unstructured(name, value))
    return lines


@lru_cache(maxsize=64)
def _date_line(date: datetime, zone: tzinfo | None) -> str:
    # `zone` is for the cache: the same moment in two zones is equal.
    if zone is None:
        raise RenderError("The date of a mail needs its zone.")
    return f"Date: {format_datetime(date)}"


def _guarded(lines: list[str]) -> str:
    """Join header lines, and refuse when what came out is not exactly these headers."""
    block = "\r\n".join(lines) + "\r\n"
    starts = block.count("\r\n") - block.count("\r\n ")
    if not _BLOCK.fullmatch(block) or starts != len(lines) or max(map(len, block.split("\r\n"))) > headers.LONGEST:
        raise RenderError("A header would not keep to its line.")
    return block[:-2]


def _boundary(seed: str, *bodies: bytes) -> str:
    boundary, turn = "", 0
    while not boundary or any(boundary.encode() in body for body in bodies):
        boundary = "=_" + hashlib.sha256(f"{turn}:{seed}".encode()).hexdigest()[:32]
        turn += 1
    return boundary


def _body(text: str) -> bytes:
    """Encode a body with CRLF line ends, whatever ended its lines, and blanks for control characters."""
    raw = text.encode("utf-8", "replace").replace(b"\r\n", b"\n").translate(_PLAIN)
    for separator in _SEPARATORS:
        raw = raw.replace(separator, b"\n")
    return raw.replace(b"\n", b"\r\n")


def _transfer(raw: bytes, eight_bit: bool) -> tuple[str, bytes]:
    """Choose how a body travels: as it is where lines and server allow, else quoted-printable."""
    if (eight_bit or raw.isascii()) and max(map(len, raw.split(b"\r\n"))) <= headers.LONGEST:
        return ("7bit" if raw.isascii() else "8bit"), raw
    quoted = binascii.b2a_qp(raw.replace(b"\r\n", b"\n"), quotetabs=False, istext=True)
    return "quoted-printable", quoted.replace(b"\n", b"\r\n")
