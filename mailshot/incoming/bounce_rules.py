"""Decides what a failed delivery means: the rules from a status code and a server's text to a verdict.

The order matters. What is said about the sender or a policy comes first and never counts against the recipient, because
blocklists and filters answer with the same codes as an unknown mailbox. Then the mailbox (full, disabled), then the
codes and phrases of an unknown mailbox or domain, then the network. Hard needs a precise code or phrase and no sign
of what comes before: a wrong hard bounce loses a customer, a missed one costs a few mails.

Codes are those of RFC 3463 and its registry, of Microsoft, and of RFC 7505 (domains without mail).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from mailshot.incoming import bounce_phrases
from mailshot.incoming.bounce_phrases import PhraseGroup
from mailshot.states import BounceReason, Confidence, IncomingKind

#: Characters of a text that are searched.
MAX_TEXT = 2500

_REPLY_CODE = re.compile(
    r"(?<![\w.#:/=-])([45][0-5]\d)(?=[ ,:;#(<\n-]|$)(?![ -]?(?:bytes|kb|mb|ms|sec|hour|day|messages)\b)", re.I
)
_ENHANCED = re.compile(r"(?<![\w.])#?([245])\.(\d{1,2})\.(\d{1,3})(?![\w]|\.\w)")
_LINE_CODES = re.compile(r"(?<![\w.])[245]\d\d[ -]#?(?:[245]\.\d{1,2}\.\d{1,3}\b)?-?")
_ADDRESS = re.compile(r"(?<![^\s<>()\[\],;:\"'])<?[^\s<>()\[\],;:\"']{1,100}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,10}>?")
#: A server's name before its reply. It is not searched for phrases.
_SERVER = re.compile(
    r"\b(?:host|server)\s[\w-]{1,63}(?:\.[\w-]{1,63}){1,9}(?:\s?[\[(][0-9a-f.:]{3,45}[\])](?::\d{1,5})?|(?=\ssaid))"
    r"|(?:remote|peer) host said:|delivery temporarily suspended:",
    re.I,
)
#: Lines of a transcript that are no refusal: commands, and replies that accept them.
_COMMANDS = re.compile(
    r"(?im)^[>\s-]{0,8}(?:(?:ehlo|helo|mail from|rcpt to)[: ][^\n]{0,500}|(?:data|quit|rset|starttls)[ \t]*"
    r"|[23]\d\d[ -][^\n]*)$"
)
_HOST = re.compile(r"(?<![\w.@/-])(?:[\w-]{1,63}\.){1,8}[a-z]{2,24}(?![\w/@.-])")
_BLOCKLIST = re.compile(r"spam|abuse|sorbs|uceprotect|barracuda|senderscore|surbl|uribl|dnsbl|rbl|blacklist|blocklist")
_AT_DATA = re.compile(
    r"in reply to (?:the )?(?:end of )?data|after (?:pipelined )?(?:sending )?(?:end of data|data|message body"
    r"|the body)"
    r"|did not like our (?:final )?data|failed after i sent the message|end of data|>>> ?(?:data|\.)(?:\s|$)"
    r"|during (?:the )?data",
    re.IGNORECASE,
)
_AT_RCPT = re.compile(
    r"in reply to (?:the )?rcpt|does not like recipient|did not like our rcpt|after (?:pipelined )?rcpt"
    r"|>>> ?rcpt|(?:503|554)[^\n]{0,30}valid recipients|503[^\n]{0,30}need rcpt",
    re.I,
)
_AT_MAIL = re.compile(
    r"in reply to (?:the )?(?:mail|ehlo|helo)|did not like our (?:mail|ehlo|helo)|after (?:pipelined )?(?:mail"
    r"|ehlo|helo|initial)|>>> ?(?:mail|ehlo"
    r"|helo)",
    re.I,
)
_FORWARDED = re.compile(r"moved to|new address|please|try")
_TEMPORARY = re.compile(r"try again|temporar|timed out|timeout|later|unreachable|loop|no route|refused")

#: Subject and detail of a code: what it means when nothing else is said.
_HARD_CODES = {
    (1, 1): BounceReason.no_mailbox,
    (1, 2): BounceReason.no_domain,
    (1, 3): BounceReason.no_mailbox,
    (1, 6): BounceReason.no_mailbox,
    (1, 10): BounceReason.no_mailbox,
    (4, 310): BounceReason.no_domain,
    (4, 4): BounceReason.no_domain,
}
_SOFT_CODES = {
    (2, 0): BounceReason.unknown,
    (2, 1): BounceReason.mailbox_disabled,
    (2, 2): BounceReason.mailbox_full,
    (2, 3): BounceReason.too_large,
    (3, 1): BounceReason.system,
    (3, 4): BounceReason.too_large,
    (4, 7): BounceReason.expired,
}
_BLOCK_CODES = {(1, 7): BounceReason.sender, (1, 8): BounceReason.sender, (5, 3): BounceReason.rate}
#: By subject only.
_SOFT_SUBJECTS = {3: BounceReason.system, 4: BounceReason.network, 5: BounceReason.system}
#: Looked at only after the phrases: servers give them to many causes.
_LATE_CODES = ((2, 0), (4, 7))
_REFUSES_MAIL = 556
_CONTENT = 6
_KINDS = {
    PhraseGroup.block: IncomingKind.block,
    PhraseGroup.soft: IncomingKind.soft,
    PhraseGroup.no_domain: IncomingKind.hard,
    PhraseGroup.no_mailbox: IncomingKind.hard,
    PhraseGroup.local: IncomingKind.hard,
    PhraseGroup.weak_block: IncomingKind.block,
    PhraseGroup.weather: IncomingKind.soft,
}


class SmtpPhase(StrEnum):
    """To which command a server gave the reply that a report quotes."""

    mail = "MAIL"
    rcpt = "RCPT"
    data = "DATA"
    unknown = ""


@dataclass(frozen=True, slots=True)
class BounceVerdict:
    """What one failure means."""

    kind: IncomingKind
    reason: BounceReason
    #: The rule that decided, such as `code 5.1.1` or `phrase no mailbox`.
    rule: str
    confidence: Confidence


@dataclass(frozen=True, slots=True)
class Failure:
    """What is known of one failure. Build it with `read_failure`."""

    #: The enhanced code that counts, such as 5.1.1; "" without one.
    enhanced_code: str
    #: Its subject and detail.
    code: tuple[int, int] | None
    #: First digit of the reply: of its codes, or else of the Status field; 0 when none is known.
    code_class: int
    smtp_code: int | None
    phase: SmtpPhase
    #: Normalized: see `bounce_phrases`.
    text: str
    #: A code x.7.y stands anywhere: security or policy.
    is_security: bool


def read_failure(status: str, text: str, phase: SmtpPhase) -> Failure:
    """Read the codes of a failure: its Status field and the server's text. `phase` counts if the text names none."""
    text = text[:MAX_TEXT]
    codes = [(int(kind), int(subject), int(detail)) for kind, subject, detail in _ENHANCED.findall(text)]
    field = [(int(kind), int(subject), int(detail)) for kind, subject, detail in _ENHANCED.findall(status)[:1]]
    match = _REPLY_CODE.search(text)
    smtp_code = int(match[1]) if match else None
    code = next((code for code in (*codes, *field) if _is_precise(code)), next(iter((*codes, *field)), None))
    # A server's own reply says more than the Status field that another server made of it.
    reply_class = code[0] if code and code in codes else (smtp_code or 0) // 100
    return Failure(
        enhanced_code=".".join(map(str, code)) if code else "",
        code=code[1:] if code else None,
        code_class=reply_class or (code[0] if code else 0),
        smtp_code=smtp_code,
        phase=phase_of(text) or phase,
        text=normalized(text),
        is_security=any(code[1] == 7 and code[0] != 2 for code in (*codes, *field)),
    )


def _is_precise(code: tuple[int, int, int]) -> bool:
    """Return whether a code names a cause: many servers give 5.0.0, 5.3.0 or 5.5.0 for any."""
    return code[2] != 0 and code[1:] not in ((5, 1), (5, 2), (5, 4), (3, 5), (0, 1)) and code[1] != 0


def phase_of(text: str) -> SmtpPhase:
    """Return the command to which the reply in a text was given, unknown if the text names none or several."""
    text = text[: 4 * MAX_TEXT]
    if _AT_RCPT.search(text):
        # With PIPELINING the reply to RCPT may stand below DATA.
        return SmtpPhase.unknown if _AT_DATA.search(text) and "valid recipient" not in text else SmtpPhase.rcpt
    if _AT_DATA.search(text):
        return SmtpPhase.data
    return SmtpPhase.mail if _AT_MAIL.search(text) else SmtpPhase.unknown


def normalized(text: str) -> str:
    """Return a text as rules search it: lower case, single blanks; addresses, host names and reply codes left out."""
    text = " ".join(_COMMANDS.sub("", text[:MAX_TEXT]).lower().replace("\u2019", "'").split())
    text = _LINE_CODES.sub(" ", _SERVER.sub(" ", _ADDRESS.sub(" ", text)))
    text = _HOST.sub(lambda match: match[0] if _BLOCKLIST.search(match[0]) else " ", text)
    return bounce_phrases.one_spelling(" ".join(text.split()))


def decide(failure: Failure) -> BounceVerdict:
    """Decide what a failure means. The first rule that holds counts; see the module for their order."""
    # A server may quote a permanent reply of another one in its temporary one.
    permanent = failure.code_class not in (2, 4) and (failure.smtp_code or 0) // 100 != 4
    for find in (_strong_block, _soft_mailbox, _hard, _weak_block, _weather):
        verdict = find(failure)
        if verdict is not None and (verdict.kind is not IncomingKind.hard or permanent):
            return verdict
    return BounceVerdict(IncomingKind.soft, BounceReason.unknown, "no rule", Confidence.guess)


def _strong_block(failure: Failure) -> BounceVerdict | None:
    if verdict := _by_phrase(PhraseGroup.block, failure):
        return verdict
    if failure.code in _BLOCK_CODES:
        return _by_code(IncomingKind.block, _BLOCK_CODES[failure.code], failure)
    # Some servers give 5.7.1 to an unknown or full mailbox. Their words decide.
    if failure.is_security and not (_says_no_mailbox(failure) or _by_phrase(PhraseGroup.soft, failure)):
        return BounceVerdict(IncomingKind.block, BounceReason.policy, "code x.7.x", Confidence.certain)
    return None


def _soft_mailbox(failure: Failure) -> BounceVerdict | None:
    verdict = _by_phrase(PhraseGroup.soft, failure)
    # 5.1.6 is hard, unless the server names the new address.
    is_gone = failure.code == (1, 6) and not _FORWARDED.search(failure.text)
    if verdict and not (verdict.reason is BounceReason.moved and is_gone):
        return verdict
    if failure.code in _SOFT_CODES and failure.code not in _LATE_CODES:
        return _by_code(IncomingKind.soft, _SOFT_CODES[failure.code], failure)
    return None


def _hard(failure: Failure) -> BounceVerdict | None:
    if failure.smtp_code == _REFUSES_MAIL:
        return BounceVerdict(IncomingKind.hard, BounceReason.refuses_mail, "code 556", Confidence.certain)
    domain = _by_phrase(PhraseGroup.no_domain, failure)
    # "Host not found, try again" is a name server that does not answer; 5.4.4 alone is any trouble with a name.
    if (domain and _TEMPORARY.search(failure.text)) or (failure.code == (4, 4) and failure.text and not domain):
        return None
    if failure.code in _HARD_CODES:
        reason = domain.reason if domain else _HARD_CODES[failure.code]
        verdict: BounceVerdict | None = _by_code(IncomingKind.hard, reason, failure)
    else:
        verdict = domain or _says_no_mailbox(failure)
        if verdict and failure.phase is SmtpPhase.data:
            return BounceVerdict(
                IncomingKind.soft, BounceReason.filtered, "no mailbox, said at DATA", Confidence.likely
            )
    # A reply to MAIL is about the sender.
    if verdict and failure.phase is SmtpPhase.mail:
        return BounceVerdict(IncomingKind.block, BounceReason.sender, "said at MAIL", Confidence.likely)
    return verdict


def _says_no_mailbox(failure: Failure) -> BounceVerdict | None:
    verdict = _by_phrase(PhraseGroup.no_mailbox, failure)
    if verdict is None and failure.code_class == 5:
        verdict = _by_phrase(PhraseGroup.local, failure)
    is_unavailable = failure.smtp_code == 550 and "mailbox unavailable" in failure.text
    # IronPort says so of a recipient that is not in its table.
    is_rejected = failure.code == (1, 0) and "address rejected" in failure.text
    if verdict is None and (is_unavailable or is_rejected):
        return BounceVerdict(IncomingKind.hard, BounceReason.no_mailbox, "phrase no mailbox", Confidence.likely)
    return verdict


def _weak_block(failure: Failure) -> BounceVerdict | None:
    if verdict := _by_phrase(PhraseGroup.weak_block, failure):
        return verdict
    if failure.code and failure.code[0] == _CONTENT:
        return _by_code(IncomingKind.block, BounceReason.policy, failure)
    return None


def _weather(failure: Failure) -> BounceVerdict | None:
    if failure.code in _SOFT_CODES:
        return _by_code(IncomingKind.soft, _SOFT_CODES[failure.code], failure)
    if verdict := _by_phrase(PhraseGroup.weather, failure):
        return verdict
    if failure.code and failure.code[0] in _SOFT_SUBJECTS and failure.code[1]:
        return _by_code(IncomingKind.soft, _SOFT_SUBJECTS[failure.code[0]], failure)
    return None


def _by_phrase(group: PhraseGroup, failure: Failure) -> BounceVerdict | None:
    rule = bounce_phrases.first_rule(group, failure.text)
    return BounceVerdict(_KINDS[group], rule.reason, f"phrase {rule.reason}", Confidence.likely) if rule else None


def _by_code(kind: IncomingKind, reason: BounceReason, failure: Failure) -> BounceVerdict:
    return BounceVerdict(kind, reason, f"code {failure.enhanced_code}", Confidence.certain)
