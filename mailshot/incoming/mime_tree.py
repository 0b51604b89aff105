"""Splits a raw message into its MIME parts in linear time, whatever the bytes.

The standard library's parser recurses into nested parts and compares each line with the boundary of every level, so a
hostile message can exhaust the stack or take seconds. Returned mail is also cut off, wrapped and re-encoded on its way,
so a part whose end is missing still counts. Nothing here raises.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape

#: What is beyond is not read: a message this long carries attachments.
MAX_BYTES = 10 * 2**20
#: A returned mail within a report within a forwarded mail needs 6.
MAX_DEPTH = 8
MAX_PARTS = 200
MAX_HEADER_BYTES = 128 * 2**10
MAX_HEADERS = 500
#: Characters of one header whose encoded words are decoded.
MAX_WORDS = 8000
#: Bytes of a part that are decoded to text: the longest genuine report seen has 40 KB.
MAX_TEXT_BYTES = 128 * 2**10
#: Bytes of a body that are kept: as many as are ever read of it.
MAX_BODY_BYTES = 256 * 2**10

_NAME = re.compile(rb"([!-9;-~]{1,80})[ \t]*:[ \t]?(.*)", re.DOTALL)
_PARAMETER = re.compile(
    r";\s{0,20}([a-z0-9_.-]{1,40})\*?(?:0\*?)?\s{0,5}=\s{0,5}(?:\"((?:[^\"\\]|\\.){0,400})\"|([^\s;\"]{1,400}))", re.I
)
_ENCODED_WORD = re.compile(r"=\?([\w.:+-]{1,40})(?:\*[\w-]{1,20})?\?([bqBQ])\?([^?\s]{0,2000})\?=")
_BETWEEN_WORDS = re.compile(r"(\?=)\s+(=\?)")
# Other codecs of Python are no charsets (rot13), slow (punycode), or interpret escapes.
_CHARSET = re.compile(
    r"us-ascii|ascii|utf-?(?:8|16|16le|16be|32)|(?:iso|x-iso|latin)[-_]?\d.{0,14}|(?:windows|cp|ibm|x-cp"
    r"|x-windows)[-_]?\d{3,5}"
    r"|koi8[-_]?[rut]|gb\d{4,5}|gbk|hz-gb-2312|big5.{0,6}|euc[-_]?(?:jp|kr|tw|cn)|(?:shift|x)[-_]s?jis|sjis|ms_kanji"
    r"|iso-?2022-?(?:jp|kr)[-\w]{0,6}|ks_c_5601.{0,6}|tis-620|mac[-\w]{0,12}|ansi_x3\.4.{0,6}",
    re.IGNORECASE,
)
_ALIASES = {
    "iso-2022-jp": "iso2022_jp_ext",
    "x-sjis": "cp932",
    "shift_jis": "cp932",
    "gb2312": "gb18030",
    "gbk": "gb18030",
}
_HIDDEN = re.compile(r"<(script|style|title)\b", re.IGNORECASE)
_LINE_ENDS = re.compile(r"<(?:br|/?p|/?div|/tr|/?li|/?h\d|/?table|/?blockquote|/?pre)\b[^<>]{0,2000}>", re.IGNORECASE)
_TAGS = re.compile(r"<[!/?a-z][^<>]{0,4000}>", re.IGNORECASE)
_BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
#: Types that hold a whole message, or only its header.
MESSAGES = frozenset(
    [
        "message/rfc822",
        "message/global",
        "text/rfc822-headers",
        "message/global-headers",
        "message/rfc822-headers",
        "text/rfc822",
    ]
)


@dataclass(frozen=True, slots=True)
class IncomingPart:
    """One part of a message, or the message itself."""

    #: Lower-case names and unfolded values, in order; encoded words as they are.
    headers: tuple[tuple[str, str], ...]
    #: Still in its transfer encoding, at most `MAX_BODY_BYTES`.
    body: bytes
    parts: tuple[IncomingPart, ...] = field(default=())

    def header(self, name: str) -> str:
        """Return the first header of a lower-case name with its encoded words decoded, "" without one."""
        return decode_words(next((value for key, value in self.headers if key == name), ""))

    def all(self, name: str) -> list[str]:
        """Return every header of a lower-case name."""
        return [decode_words(value) for key, value in self.headers if key == name]

    @property
    def content_type(self) -> str:
        """The type in lower case; text/plain where none is readable."""
        kind = self.header("content-type").partition(";")[0].strip().lower()
        return kind if "/" in kind else "text/plain"

    def parameter(self, name: str) -> str:
        """Return a parameter of the content type, "" without one."""
        value = self.header("content-type")[:4000]
        return next((quoted or plain for key, quoted, plain in _PARAMETER.findall(value) if key.lower() == name), "")

    def walk(self) -> Iterator[IncomingPart]:
        """Return this part and all below it, in order."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def content(self) -> bytes:
        """Return the body without its transfer encoding, at most `MAX_TEXT_BYTES` long."""
        encoding = self.header("content-transfer-encoding").strip().lower()
        if encoding == "base64":
            return _base64(self.body[: MAX_TEXT_BYTES * 4 // 3])
        if encoding == "quoted-printable":
            return binascii.a2b_qp(self.body[:MAX_TEXT_BYTES])
        return self.body[:MAX_TEXT_BYTES]

    def text(self) -> str:
        """Return the decoded text with line feeds as line ends, HTML without its tags."""
        text = decode(self.content(), self.parameter("charset")).replace("\r\n", "\n").replace("\r", "\n")
        text = text.replace("\x00", "")
        return text_of_html(text) if self.content_type == "text/html" else text


def parse(raw: bytes) -> IncomingPart:
    """Split a message. It may begin with an mbox line or blank lines."""
    raw = raw[:MAX_BYTES].lstrip()
    if raw[:5] in (b"From ", b">From"):
        raw = raw.partition(b"\n")[2]
    return _parse(_Span(raw, 0, len(raw)), 0, [MAX_PARTS])


@dataclass(frozen=True, slots=True)
class _Span:
    """A part within the bytes of a message; copies at each level would take many times the memory."""

    raw: bytes
    start: int
    end: int
    #: The part begins with its body.
    headless: bool = False

    def cut(self, length: int = MAX_BODY_BYTES) -> bytes:
        return self.raw[self.start : min(self.end, self.start + length)]


def _parse(span: _Span, depth: int, budget: list[int]) -> IncomingPart:
    """`budget` holds the number of parts that may still be made."""
    budget[0] -= 1
    headers, body = ((), span) if span.headless else _split_headers(span)
    part = IncomingPart(headers, body.cut())
    if depth >= MAX_DEPTH:
        return part
    kind = part.content_type
    if kind.startswith("multipart/"):
        spans = _split_body(body, part.parameter("boundary"), budget[0])
    elif kind in MESSAGES:
        # Some servers encode a returned message against RFC 2046.
        encoding = part.header("content-transfer-encoding").strip().lower()
        decoded = part.content() if encoding in ("base64", "quoted-printable") else b""
        spans = [_Span(decoded, 0, len(decoded)) if decoded else _skip_line_ends(body)]
    else:
        return part
    parts = []
    for child in spans:
        if budget[0] <= 0:
            break
        parts.append(_parse(child, depth + 1, budget))
    return IncomingPart(headers, part.body, tuple(parts))


def _skip_line_ends(span: _Span) -> _Span:
    start = span.start
    while start < span.end and span.raw[start] in b"\r\n":
        start += 1
    return _Span(span.raw, start, span.end)


def _split_headers(span: _Span) -> tuple[tuple[tuple[str, str], ...], _Span]:
    lines: list[list[bytes]] = []
    raw, position, limit = span.raw, span.start, min(span.end, span.start + MAX_HEADER_BYTES)
    while position < limit:
        following = raw.find(b"\n", position, span.end) + 1 or span.end
        line = raw[position : min(following, limit)].rstrip(b"\r\n")
        if line[:1] in (b" ", b"\t") and line.strip() and lines:
            lines[-1].append(line.strip())
        elif not line.strip():
            position = following
            break
        elif (match := _NAME.match(line)) and len(lines) < MAX_HEADERS:
            lines.append([match[1], match[2]])
        elif line[:5] not in (b"From ", b">From"):
            break  # the header ends without a blank line
        position = following
    headers = tuple((name.decode("ascii").lower(), _unfolded(values)) for name, *values in lines)
    return headers, _Span(raw, position, span.end)


def _unfolded(values: list[bytes]) -> str:
    return decode(b" ".join(values), "").replace("\x00", "").strip()


def _split_body(body: _Span, boundary: str, limit: int) -> list[_Span]:
    """Return the parts between boundary lines; what comes before the first and after the last is left out.

    Without any boundary line the whole body is the only part: it was cut off or rewritten.
    """
    raw, whole = body.raw, [_Span(body.raw, body.start, body.end, headless=True)]
    spelled = boundary.encode("utf-8", "replace")
    if not spelled:
        first = re.search(rb"^--([^\s]{1,200})[ \t]*\r?$", body.cut(MAX_HEADER_BYTES), re.MULTILINE)
        if first is None:
            return whole
        spelled = first[1]
    spans: list[_Span] = []
    start, position, marker = -1, body.start, b"--" + spelled
    while len(spans) < limit and (position := raw.find(marker, position, body.end)) >= 0:
        after = position + len(marker)
        line_end = raw.find(b"\n", after, body.end) + 1 or body.end
        rest = raw[after : min(line_end, after + 100)].strip()
        if (position == body.start or raw[position - 1 : position] == b"\n") and rest in (b"", b"--"):
            if start >= 0:
                # The line end before a boundary belongs to the boundary.
                line_end_bytes = 2 if raw[position - 2 : position] == b"\r\n" else 1
                spans.append(_Span(raw, start, max(start, position - line_end_bytes)))
            start = -1 if rest else line_end
            position = line_end
        else:
            position = after
    if start >= 0 and len(spans) < limit:
        spans.append(_Span(raw, start, body.end))
    return spans or whole


def _base64(data: bytes) -> bytes:
    letters = re.sub(rb"[^A-Za-z0-9+/]", b"", data)
    whole = letters[: len(letters) - (len(letters) % 4 == 1)]
    return binascii.a2b_base64(whole + b"=" * (-len(whole) % 4))


def decode(data: bytes, charset: str) -> str:
    """Decode text in a charset, or in the likeliest one where it is missing or unknown."""
    name = charset.strip().strip("'\"").lower()
    if b"\x1b$" in data and not name.startswith("iso-2022-kr"):
        name = "iso-2022-jp"
    if name and _CHARSET.fullmatch(name) and name not in ("us-ascii", "ascii"):
        try:
            return data.decode(_ALIASES.get(name, name), "replace")
        except (LookupError, UnicodeError):
            pass
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        # A letter that the limit cut in two is no reason to doubt the charset.
        return data.decode("utf-8" if error.start > len(data) - 4 else "cp1252", "replace")


def decode_words(text: str) -> str:
    """Decode the encoded words of a header (RFC 2047)."""
    if "=?" not in text:
        return text
    return _ENCODED_WORD.sub(_decoded_word, _BETWEEN_WORDS.sub(r"\1\2", text[:MAX_WORDS]))


def _decoded_word(match: re.Match[str]) -> str:
    data = match[3].encode("ascii", "ignore")
    raw = _base64(data) if match[2] in "bB" else binascii.a2b_qp(data, header=True)
    return decode(raw, match[1])


def text_of_html(html: str) -> str:
    """Return the text of HTML, line by line. It is read by rules only, so the layout does not matter."""
    text = _LINE_ENDS.sub("\n", _without_hidden(html[:MAX_TEXT_BYTES].replace("\n", " ")))
    return _BLANK_LINES.sub("\n\n", unescape(_TAGS.sub("", text)).replace("\xa0", " ")).strip()


def _without_hidden(html: str) -> str:
    """Leave out elements that are not shown. One without an end stays."""
    lower, kept, position = html.lower(), [], 0
    while match := _HIDDEN.search(html, position):
        end = lower.find(f"</{match[1].lower()}", match.end())
        kept.append(html[position : match.start()])
        if end < 0:
            return "".join((*kept, html[match.start() :]))
        position = end
    return "".join((*kept, html[position:]))
