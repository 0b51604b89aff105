"""Reads reports of non-delivery: RFC 3464 and RFC 6533, and what servers write for people.

A notice without report fields counts only if it comes from a mail server, as far as its header tells: customers write
about undelivered mail, too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from mailshot.incoming import auto_replies, bounce_rules
from mailshot.incoming.bounce_rules import BounceVerdict, Failure, SmtpPhase
from mailshot.incoming.contents import Contents
from mailshot.incoming.delivery_reports import ADDRESS, RecipientReport, address_of, recipient_reports
from mailshot.incoming.mime_tree import IncomingPart
from mailshot.incoming.notices import bare_names, read_notice, reply_lines
from mailshot.states import BounceReason, Confidence, IncomingKind

MAX_DIAGNOSTIC = 500
"""Characters of a diagnostic text that are kept."""
#: A notice is searched for the reasons of this many recipients at most; beyond, only their own fields count.
MAX_SEARCHED_RECIPIENTS = 10

MAX_PARAGRAPHS = 20

_DAEMON = re.compile(
    r"mailer[-_ ]?daemon|postmaster|mail ?delivery|delivery ?(?:sub)?system|mdaemon|mail (?:system|administrator"
    r"|router|server|gateway)|mailadmin"
    r"|system administrator|systemadministrator|administrator@|mmdf|mailbot|mailsystem|e-mail system|bounce"
    r"|mailer@|non-?delivery|<>|daemon@|mail-?robot|uucp@",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"undeliver|returned? (?:(?:e-?)?mail|to sender|message)|delivery (?:status|failure|failed|report"
    r"|notification|problem|error|has failed|unsuccessful|incomplete|delay|warning|attempt)"
    r"|mail (?:delivery|could not|system error|status|returned|not delivered)|failure (?:notice|delivery"
    r"|notification)|failed (?:mail|delivery|to deliver)|(?:not|be|been) delivered|could not (?:be )?(?:deliver"
    r"|send)|non-?deliver|message (?:status|delayed|not delivered|delivery|undeliverable)"
    r"|permanent (?:failure|delivery|error)|warning: (?:could not|message|mail)|error (?:sending|delivering"
    r"|while)|unable to deliver"
    r"|cannot deliver|can't be delivered|no such user|user unknown|rejected mail|processing error|mail error"
    r"|mail failed|returning (?:to sender|message)|ndn:|dsn:|notification d'état|email error|e-mail error"
    r"|problem delivering|not (?:a )?member|not ml article|reject(?:ed)? mail|(?:mail"
    r"|message)[^\n]{0,20} blocked|nachricht nicht|nicht zugestellt|nicht zustell"
    r"|unzustellbar|zustellung fehl|fehler bei der zustellung|zustellbericht|[ée]chec (?:de|d')|non remis"
    r"|non remise|non distribu|no se puede"
    r"|no se pudo|no se ha podido|no entregado|devuelto|fallo en la entrega|não entregue|falha (?:na|de|no)"
    r"|mancat[ao] (?:consegna|recapito)"
    r"|impossibile (?:recapitare|consegnare)|non consegn|niet (?:bezorgd|afgeleverd)|onbestelbaar|olevererbart"
    r"|niedostarcz|не доставлено"
    r"|недоставлен|не удалось"
    r"|配信(?:でき|不能|エラー|失敗)|未送達|送信(?:でき|エラー|失敗)|送れません|届け(?:られ|でき)|届きません|宛先|エラー|退信|退回|无法投递|投递失败|发送失败|無法傳遞|未傳遞|未送达|반송",
    re.IGNORECASE,
)
_ANSWER = re.compile(r"\s*(?:re|aw|antw|antwort|sv|rv|tr|ref|odp|回复|答复)\s?(?:\[\d+\])?\s?[:\uff1a]", re.IGNORECASE)
_FAILURE = re.compile(
    r"(?:not|n't|unable to|could not|cannot|failed to|impossible to) (?:be |able to )?(?:deliver|reach|send"
    r"|accept)|undeliver|deliver[a-z]{0,4} fail|fail[a-z]{0,4} to deliver"
    r"|been returned|being returned|was returned|following (?:address|recipient|error)|did not reach"
    r"|not delivered|user unknown|unknown user|no such user|unzustell|nicht zugestellt|non remis|no se pud|配信|届",
    re.IGNORECASE,
)
#: How a notice begins whose sender and subject look like those of a person.
_SENTENCE = re.compile(
    r"^\W{0,5}(?:sorry,? )?(?:your|the following) (?:e-?mail|mail|message)\b[^.]{0,120}?\b(?:could not|cannot"
    r"|was not|can ?not) be delivered to\s{1,5}<?[^\s@]{1,64}@",
    re.IGNORECASE | re.MULTILINE,
)
#: A server that keeps trying.
_DELAYED = re.compile(
    r"warning[: ].{0,40}(?:could not|delay|still|not yet|hours)|still (?:trying|being|in the queue|undelivered)"
    r"|(?:will|shall) (?:continue|keep|be retried|retry|try)|continue to (?:try|attempt)|not yet been delivered"
    r"|has been delayed|is delayed|been (?:temporarily )?delayed|delivery delay"
    r"|do not need to re-?send|don't need to re-?send|no action is required|not need to resend"
    r"|this is a warning message only|message is being held|verzögert|retard[ée]|aplazad|retrasad|遅延|延迟",
    re.IGNORECASE,
)
_GAVE_UP = re.compile(
    r"giving up|given up|gave up|could not be delivered for|final|permanent|was not delivered"
    r"|will not be (?:retried|delivered)|expired",
    re.IGNORECASE,
)
_SENT_ON = ("delivered", "relayed", "expanded")
_REPLY = re.compile(r"\s*[45]\d\d[ -]\S")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_SMALL_TALK = (BounceReason.policy, BounceReason.expired, BounceReason.network, BounceReason.system)
_MILDEST_FIRST = (
    IncomingKind.delivered,
    IncomingKind.delayed,
    IncomingKind.soft,
    IncomingKind.block,
    IncomingKind.hard,
)


@dataclass(frozen=True, slots=True)
class ReportedRecipient:
    """What a report means for one of its recipients."""

    #: "" when the report does not name it.
    address: str
    #: The address we wrote to, if the report says that it was another one.
    original: str
    verdict: BounceVerdict
    enhanced_code: str
    smtp_code: int | None
    #: The server's words: printable, at most `MAX_DIAGNOSTIC` characters.
    diagnostic: str


@dataclass(frozen=True, slots=True)
class Bounce:
    """A report of non-delivery."""

    recipients: tuple[ReportedRecipient, ...]
    #: The one of `recipients` that decides.
    decisive: ReportedRecipient


def read_bounce(message: IncomingPart, contents: Contents) -> Bounce | None:
    """Return what a report of non-delivery says, None if the message is none."""
    reports = recipient_reports(contents.fields)
    if not any(report.action or report.status for report in reports):
        reports = _reports_of_notice(message, contents, reports) if _is_notice(message, contents) else []
    if not reports:
        return None
    reports = _with_address(message, contents, reports)
    texts = _read_texts(message, contents)
    is_searched = len(reports) <= MAX_SEARCHED_RECIPIENTS
    recipients = tuple(_judge(report, texts, is_searched) for report in reports)
    return Bounce(recipients, _decisive(recipients, contents))


def is_daemon(message: IncomingPart) -> bool:
    """Return whether a message comes from a mail server, by the names in its header."""
    is_own = "mailer-daemon" in message.header("return-path")[:300].lower()
    return is_own or _DAEMON.search(message.header("from")[:300]) is not None


def _is_notice(message: IncomingPart, contents: Contents) -> bool:
    """Return whether a message without report fields comes from a mail server, as far as its header tells."""
    if message.header("x-failed-recipients"):
        return True
    if auto_replies.is_away(message) or auto_replies.is_challenge(message, contents.notice):
        return False
    subject = message.header("subject")[:300]
    is_report = message.content_type == "multipart/report" and not contents.is_disposition
    if is_report or is_daemon(message) or _SENTENCE.search(contents.notice[:300]):
        return True
    # A person who answers our mail may write about undelivered mail.
    if message.header("in-reply-to") or _ANSWER.match(message.header("subject")[:100]):
        return False
    return _SUBJECT.search(subject) is not None


def _reports_of_notice(
    message: IncomingPart, contents: Contents, reports: list[RecipientReport]
) -> list[RecipientReport]:
    """Return what a notice for people says: about each address in it, or about one that it does not name.

    Empty when nothing in it looks like a failure: a mail server's users write mail, too.
    """
    failed = [match[0] for value in message.all("x-failed-recipients") for match in ADDRESS.finditer(value[:2000])]
    read = read_notice(contents.notice, _own_addresses(message, contents))
    if failed:
        by_address = {report.address.lower(): report for report in read}
        return [by_address.get(address.lower(), RecipientReport(address=address)) for address in failed]
    if reports:
        return reports
    if not read:
        domain = address_of(message.header("from")).rpartition("@")[2].lower()
        read = bare_names(contents.notice, domain) or [RecipientReport()]
    return read if _tells_failure(message, contents) else []


def _tells_failure(message: IncomingPart, contents: Contents) -> bool:
    """Return whether a message from a mail server is about a mail that it did not deliver."""
    if contents.returned is not None or _SUBJECT.search(message.header("subject")[:300]):
        return True
    if _FAILURE.search(contents.notice) or _DELAYED.search(contents.notice):
        return True
    failure = bounce_rules.read_failure("", contents.notice, SmtpPhase.unknown)
    return failure.code is not None or bounce_rules.decide(failure).kind is IncomingKind.hard


def _with_address(message: IncomingPart, contents: Contents, reports: list[RecipientReport]) -> list[RecipientReport]:
    """Name the address of reports without one: from the notice, or the recipient of the returned mail."""
    if any(report.address for report in reports) or not reports:
        return reports
    candidates = [address_of(value) for value in message.all("x-failed-recipients")]
    candidates += [report.address for report in read_notice(contents.notice, _own_addresses(message, contents))]
    if contents.returned is not None:
        candidates += [address_of(contents.returned.header(name)) for name in ("x-original-to", "delivered-to", "to")]
    address = next(filter(None, candidates), "")
    return [replace(reports[0], address=address), *reports[1:]]


def _own_addresses(message: IncomingPart, contents: Contents) -> set[str]:
    values = [value for name in ("to", "from", "sender", "reply-to") for value in message.all(name)]
    if contents.returned is not None:
        names = ("from", "sender", "reply-to", "return-path", "errors-to")
        values += [value for name in names for value in contents.returned.all(name)]
    return {match[0].lower() for value in values for match in ADDRESS.finditer(value[:2000])}


@dataclass(frozen=True, slots=True)
class _NoticeTexts:
    """What is read once of a notice and used for each of its recipients."""

    phase: SmtpPhase
    #: The lines that quote replies of a server.
    replies: str
    paragraphs: list[str]
    is_delayed: bool


def _read_texts(message: IncomingPart, contents: Contents) -> _NoticeTexts:
    notice = contents.notice
    return _NoticeTexts(
        phase=bounce_rules.phase_of(notice),
        replies=reply_lines(notice),
        paragraphs=re.split(r"\n[ \t]*\n", notice)[:MAX_PARAGRAPHS],
        is_delayed=_is_delayed(message, contents),
    )


def _judge(report: RecipientReport, texts: _NoticeTexts, is_searched: bool) -> ReportedRecipient:
    """Decide about one recipient from its own report, or else from the rest of the notice if that `is_searched`."""
    text, failure, verdict = _clearest(report, texts, is_searched)
    if report.action in _SENT_ON:
        verdict = BounceVerdict(
            IncomingKind.delivered, BounceReason.unknown, f"action {report.action}", Confidence.certain
        )
    elif report.action == "delayed":
        verdict = BounceVerdict(IncomingKind.delayed, verdict.reason, "action delayed", Confidence.certain)
    elif not report.action and failure.code_class != 5 and texts.is_delayed:
        verdict = BounceVerdict(IncomingKind.delayed, verdict.reason, "phrase delayed", Confidence.likely)
    return ReportedRecipient(
        address=clean(report.address, 320),
        original=clean(report.original, 320),
        verdict=verdict,
        enhanced_code=failure.enhanced_code,
        smtp_code=failure.smtp_code,
        diagnostic=clean(text or report.diagnostic, MAX_DIAGNOSTIC),
    )


_Judged = tuple[str, Failure, BounceVerdict]


def _clearest(report: RecipientReport, texts: _NoticeTexts, is_searched: bool) -> _Judged:
    """Return the first text that names a cause, with its failure and verdict; the first text if none does.

    A server's reply says it all. Otherwise the rest of the notice is searched, each paragraph on its own: joined, the
    greeting and the cause could form phrases that are not in the text. Among paragraphs, a reason that lies with the
    sender or the mailbox counts before one that may be small talk.
    """
    # Without a diagnostic the replies in the notice may still object to the sender.
    own = _judge_text(report, report.diagnostic or texts.replies, texts.phase)
    if _names_cause(own) or not is_searched or _REPLY.match(own[0]):
        return own
    replies = _judge_text(report, texts.replies, texts.phase)
    if _names_cause(replies):
        return replies
    judged = [_judge_text(report, paragraph, texts.phase) for paragraph in texts.paragraphs]
    causes = [judgement for judgement in judged if _names_cause(judgement)]
    return next((cause for cause in causes if cause[2].reason not in _SMALL_TALK), next(iter(causes), own))


def _judge_text(report: RecipientReport, text: str, phase: SmtpPhase) -> _Judged:
    failure = bounce_rules.read_failure(report.status, text, phase)
    return text, failure, bounce_rules.decide(failure)


def _names_cause(judged: _Judged) -> bool:
    return judged[2].reason is not BounceReason.unknown


def _is_delayed(message: IncomingPart, contents: Contents) -> bool:
    text = f"{message.header('subject')[:300]}\n{contents.notice[:3000]}"
    return _DELAYED.search(text) is not None and _GAVE_UP.search(text) is None


def _decisive(recipients: tuple[ReportedRecipient, ...], contents: Contents) -> ReportedRecipient:
    """Return the recipient that decides: the one we wrote to, or else the one whose report is the mildest.

    An address that is passed on to several others lives while one of them does.
    """
    wrote_to = address_of(contents.returned.header("to")).lower() if contents.returned is not None else ""
    ours = [row for row in recipients if wrote_to and wrote_to in (row.address.lower(), row.original.lower())]
    return min(ours or recipients, key=lambda row: _MILDEST_FIRST.index(row.verdict.kind))


def clean(text: str, limit: int) -> str:
    """Return a text cut to a length, with blanks in place of unprintable characters."""
    return " ".join(_UNPRINTABLE.sub(" ", text[: 4 * limit]).split())[:limit]
