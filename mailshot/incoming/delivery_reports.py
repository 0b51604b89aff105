"""Reads what a report says of each recipient: the fields of RFC 3464 and RFC 6533, and of complaints (RFC 5965).

Servers break the format in many ways: no blank line between recipients, fields in a text part, continuation lines that
are not indented, addresses in angle brackets or with a comment. All of these are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mailshot.incoming.mime_tree import decode_words

MAX_FIELD_LINES = 3000
MAX_RECIPIENTS = 100
MAX_DIAGNOSTIC = 1000
"""Characters of a diagnostic text."""

_FIELD = re.compile(r"([A-Za-z][\w-]{1,40})[ \t]*:[ \t]*(.*)", re.DOTALL)
_TYPE = re.compile(r"\s*[\w./-]{2,40}\s*;\s*")
#: An address without quotes, as people and servers write it.
#: It begins after a separator only, so a long word is read once.
_SEPARATORS = r"\s<>()\[\],;:\"'@\\|*`\u3001\u3002\u300c\u300d\uff08\uff09\uff0c\uff1a\uff1b\u201c\u201d\u00ab\u00bb"
ADDRESS = re.compile(rf"(?<![^{_SEPARATORS}])[^{_SEPARATORS}]{{1,100}}@[\w-]{{1,63}}(?:\.[\w-]{{1,63}}){{0,10}}")
_QUOTED_ADDRESS = re.compile(r"\"[^\"\r\n]{1,100}\"@[\w.-]{1,253}")
_UTF8_XTEXT = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")
_REMOTE = re.compile(r"\s{0,5}[\w./-]{1,40}\s{0,5};\s{0,5}")
#: Fields that begin a recipient's group when the group already has one.
_RECIPIENTS = ("final-recipient", "original-recipient", "x-actual-recipient")


@dataclass(frozen=True, slots=True)
class RecipientReport:
    """What a server reports about one recipient; "" for what it does not say."""

    #: The address it tried to deliver to, which may be another one than we wrote to.
    address: str = ""
    #: The address we wrote to.
    original: str = ""
    #: failed, delayed, delivered, relayed or expanded.
    action: str = ""
    #: The Status field as it is.
    status: str = ""
    #: Why, without the type in front of it.
    diagnostic: str = ""
    #: The server that replied.
    remote: str = ""


def parse_fields(text: str) -> list[dict[str, str]]:
    """Return the groups of fields of a report, names in lower case; blank lines or a second recipient divide them."""
    groups: list[dict[str, str]] = []
    group: dict[str, str] = {}
    name = ""
    for line in text.split("\n")[:MAX_FIELD_LINES]:
        if not line.strip():
            if group:
                groups.append(group)
            group, name = {}, ""
        elif name and (line[0] in " \t" or not _FIELD.match(line)):
            if len(group[name]) < 4 * MAX_DIAGNOSTIC:
                group[name] = f"{group[name]} {line.strip()}"
        elif match := _FIELD.match(line.strip()):
            name = match[1].lower()
            if name in group and name in _RECIPIENTS:
                groups.append(group)
                group = {}
            group.setdefault(name, match[2].strip())
    return [*groups, group] if group else groups


def recipient_reports(groups: Iterable[Mapping[str, str]]) -> list[RecipientReport]:
    """Return a report for each group of fields about a recipient."""
    reports = []
    for group in groups:
        if not any(name in group for name in (*_RECIPIENTS, "action", "status", "diagnostic-code")):
            continue
        diagnostic = _TYPE.sub("", decode_words(group.get("diagnostic-code", "")), count=1)
        final = address_of(group.get("final-recipient", "")) or address_of(group.get("x-actual-recipient", ""))
        original = address_of(group.get("original-recipient", ""))
        reports.append(
            RecipientReport(
                address=final or original,
                original=original,
                action=re.split(r"[\s(;]", group.get("action", "").strip().lower())[0],
                status=group.get("status", "")[:100],
                diagnostic=diagnostic[:MAX_DIAGNOSTIC],
                remote=_REMOTE.sub("", group.get("remote-mta", "")[:300], count=1).strip(),
            )
        )
    return reports[:MAX_RECIPIENTS]


def address_of(text: str) -> str:
    """Return the address in a field such as `rfc822; <ann@example.com>`, "" without one."""
    text = _UTF8_XTEXT.sub(_character, _TYPE.sub("", text[:500], count=1))
    match = _QUOTED_ADDRESS.search(text) or ADDRESS.search(text)
    return match[0].strip(".") if match else ""


def _character(match: re.Match[str]) -> str:
    number = int(match[1], 16)
    return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else ""
