"""Sorts the parts of a message by what they are: the notice for people, report fields, and the mail that came back.

Old servers send one text: a notice, a divider, and the returned mail. It is cut where the header of a mail begins, in
whatever language the divider is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from mailshot.incoming import mime_tree
from mailshot.incoming.delivery_reports import parse_fields
from mailshot.incoming.mime_tree import MESSAGES, IncomingPart

MAX_LINES = 1500
MAX_NOTICE = 32 * 2**10
"""Characters of the notice that are read."""
MAX_WRAPPER = 1000
"""Characters that a server writes above a report which it passes on."""

_STATUS_TYPES = ("message/delivery-status", "message/global-delivery-status")
_HEADER_LINE = re.compile(r"[>|]? ?([A-Za-z][\w-]{1,40}):(?: |\t|$)")
_MAIL_HEADERS = frozenset(
    [
        "received",
        "return-path",
        "message-id",
        "from",
        "to",
        "date",
        "subject",
        "mime-version",
        "content-type",
        "reply-to",
    ]
)
#: At least one of them begins a mail; a notice may list the others, too.
_TRANSPORT_HEADERS = frozenset(
    ["received", "return-path", "message-id", "mime-version", "x-mailer", "content-type", "dkim-signature"]
)
_DIVIDER = re.compile(
    r"^\W{0,5}[-=_*]{3,}|original|follow|copy of|below|returned m|unsent|undelivered m|headers?\b|kopie|ursprüng"
    r"|原文|元の",
    re.IGNORECASE,
)
#: Signs of an encoded part or header: nothing else needs to be decoded to be searched.
_ENCODED = re.compile(rb"base64|quoted-printable|=\?", re.IGNORECASE)
_REPORT_FIELD = re.compile(
    r"^[> \t]{0,8}(?:final-recipient|original-recipient|action|diagnostic-code)[ \t]*:", re.IGNORECASE | re.MULTILINE
)
#: A complaint whose parts were flattened into one text.
_FEEDBACK_FIELD = re.compile(
    r"^Feedback-Type: ?[a-z-]{3,20}[ \t]*\n(?=(?:[^\n]{0,200}\n){0,4}?(?:User-Agent|Version):)",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(slots=True)
class Contents:
    """The parts of a message, sorted."""

    #: The text for people, without the returned mail.
    notice: str = ""
    #: Groups of fields: see `delivery_reports`.
    fields: list[dict[str, str]] = field(default_factory=list)
    #: The fields of a complaint (RFC 5965), None when it is none.
    feedback: dict[str, str] | None = None
    #: Whether it says that somebody opened or deleted the mail (RFC 8098).
    is_disposition: bool = False
    #: The mail that came back, or its header.
    returned: IncomingPart | None = None


def sort_parts(message: IncomingPart) -> Contents:
    """Sort the parts of a message."""
    contents = Contents()
    notices: list[str] = []
    _visit(message, contents, notices, is_root=True)
    # Gateways wrap a report into a mail of their own. A person who forwards one writes something above it.
    is_wrapper = not contents.fields and sum(map(len, notices)) < MAX_WRAPPER
    if is_wrapper and contents.returned is not None and _is_report(contents.returned):
        return sort_parts(contents.returned)
    notice = "\n".join(notices)[: 4 * MAX_NOTICE]
    if contents.returned is None:
        notice, returned = split_returned(notice)
        contents.returned = mime_tree.parse(returned.encode("utf-8", "replace")) if returned else None
    contents.notice = notice[:MAX_NOTICE].strip()
    if contents.feedback is None and (match := _FEEDBACK_FIELD.search(contents.notice)):
        contents.feedback = next(iter(parse_fields(contents.notice[match.start() :])), {})
    if not contents.fields and (match := _REPORT_FIELD.search(contents.notice)):
        start = contents.notice.rfind("\n\n", 0, match.start()) + 1
        contents.fields = parse_fields(re.sub(r"(?m)^[>|\t ]{1,8}", "", contents.notice[start:]))
    return contents


def mentions(raw: bytes, text: str) -> bool:
    """Return whether a text stands in a message, in any case and transfer encoding."""
    needle = text.lower()
    if needle.encode() in raw.lower():
        return True
    if not _ENCODED.search(raw):
        return False
    message = mime_tree.parse(raw)
    returned = sort_parts(message).returned
    parts = [*message.walk(), *(returned.walk() if returned else ())]
    return any(needle in _decoded(part).lower() for part in parts)


def _decoded(part: IncomingPart) -> str:
    headers = (mime_tree.decode_words(value) for _, value in part.headers)
    return "\n".join((*headers, mime_tree.decode(part.content(), part.parameter("charset"))))


def _visit(part: IncomingPart, contents: Contents, notices: list[str], is_root: bool = False) -> None:
    kind = part.content_type
    if kind in MESSAGES and not is_root:
        contents.returned = contents.returned or next(iter(part.parts), None)
    elif kind in _STATUS_TYPES:
        # Its groups look like messages to some servers, which make each a part of its own.
        contents.fields += parse_fields(part.text())
    elif kind == "message/feedback-report":
        contents.feedback = {}
        for group in parse_fields(part.text()):
            contents.feedback |= group
    elif kind == "message/disposition-notification":
        contents.is_disposition = True
    elif kind == "multipart/alternative":
        _visit_alternative(part, contents, notices)
    elif part.parts:
        for child in part.parts:
            _visit(child, contents, notices)
    elif kind.startswith("text/"):
        notices.append(part.text())


def _is_report(part: IncomingPart) -> bool:
    return any(child.content_type in _STATUS_TYPES for child in part.parts)


def _visit_alternative(part: IncomingPart, contents: Contents, notices: list[str]) -> None:
    plain = [child for child in part.parts if child.content_type == "text/plain" and child.text().strip()]
    for child in plain[:1] or part.parts:
        _visit(child, contents, notices)


def split_returned(text: str) -> tuple[str, str]:
    """Divide a notice from the mail that follows it: "" when none does."""
    lines = text.split("\n")[:MAX_LINES]
    start = 0
    while start < len(lines):
        end, names = _header_block(lines, start)
        if end == start:
            start += 1
            continue
        before = "\n".join(lines[max(0, start - 4) : start])
        is_mail = len(names & _MAIL_HEADERS) >= 3 and names & _TRANSPORT_HEADERS
        if (is_mail or (len(names & _MAIL_HEADERS) >= 2 and names & {"from", "to"})) and (
            "received" in names or "return-path" in names or _DIVIDER.search(before)
        ):
            prefix = "> " if lines[start].startswith("> ") else lines[start][0] if lines[start][0] in ">|" else ""
            returned = [line.removeprefix(prefix) for line in text.split("\n")[start:]]
            return "\n".join(lines[:start]), "\n".join(returned)
        start = end
    return text, ""


def _header_block(lines: list[str], start: int) -> tuple[int, set[str]]:
    """Return where the header that begins at a line ends, and the names of its fields."""
    names: set[str] = set()
    end = start
    while end < len(lines):
        match = _HEADER_LINE.match(lines[end])
        if match:
            names.add(match[1].lower())
        elif not names or not lines[end].lstrip(">|").startswith((" ", "\t")) or not lines[end].strip(" \t>|"):
            break
        end += 1
    return end, names
