"""Reads notices that servers write for people: which address failed, and why.

Servers without RFC 3464 (qmail, Exim, old sendmail, and many more) name the address at the beginning of a line and the
cause on it or below. That is read without a parser for each server, so that an unknown server is read, too.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from mailshot.incoming.delivery_reports import ADDRESS, MAX_DIAGNOSTIC, RecipientReport

MAX_LINES = 400
MAX_ADDRESSES = 50
_PARAGRAPH_LINES = 12

_ROLES = re.compile(
    r"(?:mailer-?daemon|postmaster|mdaemon|abuse|no-?reply|mail-?admin|hostmaster|support|helpdesk)@", re.IGNORECASE
)
#: What may stand before an address that begins a line.
_LEAD = re.compile(
    r"[\s<\"'(*>\-\[\u2022]{0,20}(?:(?:failed )?(?:recipient|address|rcpt to|addressee|user|to|an|e-?mail|mailto"
    r"|smtp|宛先)s?\s?[:=;]\s?)?[\s<\"'(\[]{0,5}",
    re.IGNORECASE,
)
_BARE_NAME = re.compile(r"^(?:\t| {2,8})<?([A-Za-z][\w.+-]{1,63})>?:?[ \t]*$", re.MULTILINE)
#: What stands before an address in a sentence about its failure.
_SENTENCE = re.compile(
    r"(?:deliver|sen[dt]|message|mail|recipient|address|mailbox|user|account)\b[^@]{0,60}\b(?:to|for|of"
    r"|recipient|address|mailbox|user|account)\W{0,4}$"
    r"|(?:=|:)(?:smtp|rfc-?822)?=?$",
    re.IGNORECASE,
)
_SENDER_BEFORE = re.compile(r"(?<!generated )(?<!expanded )\b(?:from|von|de|sender|by)\W{0,4}$", re.IGNORECASE)
_ADDRESS_PREFIX = re.compile(r"^(?:smtp|rfc-?822|mailto|address|to)=", re.IGNORECASE)
_TRANSCRIPT = re.compile(r"^\s{0,10}(?:<<<|>>>\s?rcpt|\[?<-|\d{3}[ -])", re.IGNORECASE)
#: A line of the mail's header that a notice repeats.
_QUOTED_HEADER = re.compile(
    r"\s{0,10}[>|]?\s{0,5}(?:from|sender|reply-to|return-path|message-?id|cc|received|references|von|in-reply-to"
    r"|x-[\w-]{1,30}|reporting-mta)\s?:",
    re.IGNORECASE,
)
_FAILURE = re.compile(
    r"unknown|fail|reject|undeliver|not\b|n't|error|invalid|unable|denied|refused|full|quota|exceed|disabled"
    r"|inactive|no such|recipient|"
    r"delayed|returned|could|unzustell|nicht|inconnu|desconocid|届|できません|失败|退",
    re.IGNORECASE,
)
_REPLY_LINE = re.compile(
    r"^[ \t>]{0,10}(?:<<<|\[?<-)?[ \t]{0,10}[45]\d\d[ -]|(?<![\w.])[45]\d\d[ -]#?[45]\.\d{1,2}\.\d{1,3}"
    r"|said:\s?[45]\d\d|\b5\d\d[ -](?=[A-Za-z<#])|\(#[45]\.\d\.\d\)",
    re.IGNORECASE,
)


def read_notice(notice: str, ignored: Collection[str]) -> list[RecipientReport]:
    """Return a report for each address that a notice names, but for those of the sender (`ignored`, lower case)."""
    lines = notice.split("\n")[:MAX_LINES]
    places: list[tuple[int, int, str]] = []
    for number, address in _addresses(lines):
        if address.lower() not in ignored and not _ROLES.match(address):
            places.append((_score(lines, number, address), number, address))
    best = max((score for score, _, _ in places), default=0)
    starts = {number for score, number, _ in places if score == best}
    reasons: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for score, number, address in places:
        if score == best and (address.lower() in names or len(names) < MAX_ADDRESSES):
            names.setdefault(address.lower(), address)
            # A transcript names an address in several lines.
            reasons.setdefault(address.lower(), []).append(_reason(lines, number, address, starts))
    return [
        RecipientReport(address=address, diagnostic="\n".join(filter(None, reasons[key][:5]))[:MAX_DIAGNOSTIC])
        for key, address in names.items()
    ]


def reply_lines(notice: str) -> str:
    """Return the lines in which a notice quotes replies of a server, with what continues them."""
    lines = notice.split("\n")[:MAX_LINES]
    kept = [
        f"{line.strip()} {lines[number + 1].strip() if number + 1 < len(lines) else ''}"
        for number, line in enumerate(lines)
        if _REPLY_LINE.search(line[:500]) and not line.lstrip().startswith(">>>")
    ]
    return "\n".join(kept)[: 2 * MAX_DIAGNOSTIC]


def _addresses(lines: list[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines):
        if "@" in line and not _QUOTED_HEADER.match(line):
            for match in ADDRESS.finditer(line[:1000]):
                address = _ADDRESS_PREFIX.sub("", match[0].strip(".'`"))
                # "They do not accept mail from <us>" names the sender.
                if not _SENDER_BEFORE.search(line[: match.start()][-40:]):
                    yield number, address


def bare_names(notice: str, domain: str) -> list[RecipientReport]:
    """Return reports for names without a domain, each alone on an indented line: servers leave out their own domain."""
    names = _BARE_NAME.findall(notice[:4000]) if domain else []
    return [RecipientReport(address=f"{name}@{domain}") for name in dict.fromkeys(names[:MAX_ADDRESSES])]


def _score(lines: list[str], number: int, address: str) -> int:
    line = lines[number]
    lead = _LEAD.match(line)
    if line[lead.end() if lead else 0 :].startswith(address) or _TRANSCRIPT.match(line):
        return 3
    if _SENTENCE.search(line.partition(address)[0][-120:]):
        return 3
    nearby = " ".join(lines[max(0, number - 1) : number + 2])[:1000]
    return 2 if _FAILURE.search(nearby) else 1


def _reason(lines: list[str], number: int, address: str, starts: Collection[int]) -> str:
    """Return the rest of a line after its address, and the paragraph that continues it."""
    before, _, rest = lines[number].partition(address)
    kept = [f"{before.strip(' <')} {rest.strip(' >:')}".strip()]
    empty = 0
    for following in range(number + 1, min(number + _PARAGRAPH_LINES, len(lines))):
        line = lines[following].strip()
        if following in starts:
            break
        if not line:
            empty += 1
            if empty > 1 or any(len(text) > 3 for text in kept):
                break
        kept.append(line)
    return "\n".join(filter(None, kept))
