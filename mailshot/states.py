"""The states of deliveries, runs, schedules and answers, the arrows between them, and other words with a meaning.

Each word is declared once, with its help text; docs and the CLI read it from here. Below each enum stand the named sets
of its members: what a query means by "waiting" or "held" is decided here and nowhere else. `store/ledger.py` moves
deliveries, along `FROM` only.

Members are strings. They are compared with columns and bound as parameters as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Self


class HelpEnum(StrEnum):
    """An enum of words with their help texts: `name = "word", "help"`."""

    help: str

    def __new__(cls, word: str, help: str) -> HelpEnum:
        member = str.__new__(cls, word)
        member._value_ = word
        member.help = help
        return member

    @classmethod
    def of(cls, word: str) -> Self:
        """Return the member that `word` names. Raises ValueError."""
        member = next((member for member in cls if member == word), None)
        if member is None:
            raise ValueError(f"{word!r} is no {cls.__name__}")
        return member


class DeliveryState(HelpEnum):
    """The state of one delivery in the ledger. `FROM` holds the arrows, docs/reliability.md draws them."""

    pending = "pending", "waits for a worker"
    claimed = "claimed", "a worker holds it and has not released the final dot"
    dotting = "dotting", "the intent is committed; the final dot may be out"
    sent = "sent", "the server accepted the message (250)"
    deferred = "deferred", "the server replied with a temporary error (4xx); retried at next_attempt_at"
    refused = "refused", "the server rejected the mail (5xx), or every attempt until the deadline failed"
    unconfirmed = "unconfirmed", "a crash or lost reply after the dot: it may have arrived, and is not sent again"
    skipped = "skipped", "left out, with the reason"
    holdout = "holdout", "matches, but is deliberately not mailed so that uplift can be measured"


DeliveryStates = tuple[DeliveryState, ...]

#: No worker holds the row. It is due now, or at next_attempt_at.
WAITING: DeliveryStates = (DeliveryState.pending, DeliveryState.deferred)
#: A worker holds the row under its token, until its lease ends.
HELD: DeliveryStates = (DeliveryState.claimed, DeliveryState.dotting)
#: Not settled: a run is finished when it has none of these.
OPEN: DeliveryStates = (DeliveryState.pending, DeliveryState.claimed, DeliveryState.dotting, DeliveryState.deferred)
#: The dot is not out, so the mail can still be stopped.
UNSENT: DeliveryStates = (DeliveryState.pending, DeliveryState.claimed, DeliveryState.deferred)
#: The dot is out, or may be, and the server has not refused the mail: it counts against caps.
MAY_HAVE_ARRIVED: DeliveryStates = (DeliveryState.dotting, DeliveryState.sent, DeliveryState.unconfirmed)
#: The customer has the mail, or is to get it: a plan counts both as received.
RECEIVED: DeliveryStates = (*UNSENT, *MAY_HAVE_ARRIVED)
#: Settled, and the mail arrived or may have: whom reports count as mailed.
REACHED: DeliveryStates = (DeliveryState.sent, DeliveryState.unconfirmed)
#: The server has not accepted the mail, or nothing says so yet: no person can have read it.
NOT_ACCEPTED: DeliveryStates = (
    DeliveryState.dotting,
    DeliveryState.deferred,
    DeliveryState.refused,
    DeliveryState.skipped,
    DeliveryState.holdout,
)
#: Settled without any attempt to send.
NOT_MAILED: DeliveryStates = (DeliveryState.skipped, DeliveryState.holdout)

#: Every arrow: the states from which a delivery may move to each state. A launch creates rows that are pending, skipped
#: or holdout; no arrow leads to holdout.
FROM: Mapping[DeliveryState, DeliveryStates] = {
    DeliveryState.pending: (*HELD, DeliveryState.unconfirmed),
    DeliveryState.claimed: WAITING,
    DeliveryState.dotting: (DeliveryState.claimed,),
    DeliveryState.sent: (DeliveryState.dotting, DeliveryState.unconfirmed),
    DeliveryState.deferred: HELD,
    DeliveryState.refused: HELD,
    DeliveryState.unconfirmed: (DeliveryState.dotting,),
    DeliveryState.skipped: UNSENT,
    DeliveryState.holdout: (),
}

#: The arrows of `FROM` along which a worker may report what became of a row that carries its token. Its late report may
#: turn unconfirmed into sent, but never into pending: that mail would be sent twice.
REPORTED_FROM: Mapping[DeliveryState, DeliveryStates] = {
    DeliveryState.pending: HELD,
    DeliveryState.sent: (DeliveryState.dotting, DeliveryState.unconfirmed),
    DeliveryState.deferred: HELD,
    DeliveryState.refused: HELD,
    DeliveryState.unconfirmed: (DeliveryState.dotting,),
    DeliveryState.skipped: (DeliveryState.claimed,),
}


class Suspicion(IntEnum):
    """Whether a delivery's mail may have crashed the worker that held it, for example by running out of memory."""

    none = 0
    held = 1
    """A worker that held it, among others, crashed."""
    rendering = 2
    """This suspect mail is being rendered; nothing else is rendered at the same time."""
    suspected_again = 3
    """A worker crashed while it rendered this mail. That may be a coincidence, so it is tried once more."""
    writing_again = 4
    proven = 5
    """Two workers crashed while they rendered this mail: it is skipped."""


class Reason(HelpEnum):
    """Why a matching customer gets no mail in a run."""

    no_address = "no address", "no e-mail address is known"
    unsupported_address = (
        "unsupported address",
        "it has letters such as ü or ø before the @, which Mailshot cannot send to (SMTPUTF8)",
    )
    no_consent = "no consent", "consent to the campaign's topic was not given, or was withdrawn at this address"
    suppressed = "suppressed", "the address is on the suppression list"
    guard = "guard", "a guard forbids this content for this customer"
    already_received = "already received", "an earlier run of this campaign has this customer"
    frequency_cap = "frequency cap", "has received as many mails as the cap allows"
    asked_for_less = "asked for less", "the customer chose to be mailed less often"
    paused = "paused", "the customer asked for a pause"
    same_address = "same address", "another customer with the same address gets the mail"
    no_content = "no content", "no content entry's 'when' matches"
    no_offers = "no offers", "fewer offers are available than the content needs"
    holdout = "holdout", "deliberately not mailed, to measure uplift"
    cancelled = "cancelled", "the run was cancelled before the mail went out"
    render_failed = "render failed", "the template could not be rendered for this customer"


class RunState(HelpEnum):
    """The state of a run."""

    running = "running", "workers are sending it"
    paused = "paused", "nothing more is sent until the run is resumed"
    cancelled = "cancelled", "nothing more will be sent"
    finished = "finished", "every delivery is settled"
    past = "past", "imported: it was sent by another system"


RunStates = tuple[RunState, ...]

#: A worker may still hold rows of such a run. Of a cancelled one, those that were claimed before.
UNSETTLED_RUNS: RunStates = (RunState.running, RunState.paused, RunState.cancelled)

#: The states from which a run may be moved to each state. Only `ledger.resolve_unconfirmed` has one more arrow: where
#: it sends unconfirmed mails again, a finished run is running again.
RUN_FROM: Mapping[RunState, RunStates] = {
    RunState.paused: (RunState.running,),
    RunState.running: (RunState.paused,),
    RunState.cancelled: (RunState.running, RunState.paused),
    RunState.finished: (RunState.running,),
}


class ScheduleState(HelpEnum):
    """The state of a schedule."""

    armed = "armed", "the clock launches it when it is due"
    paused = "paused", "the clock skips it"
    ended = "ended", "no launch is left"

    @property
    def label(self) -> str:
        """The name that users and scripts see; rows keep the older one."""
        return "scheduled" if self is ScheduleState.armed else str(self)


class FeedbackKind(HelpEnum):
    """The kinds of feedback."""

    opened = "opened", "the pixel of a mail was loaded"
    clicked = "clicked", "a link of a mail was followed"
    bounced = "bounced", "the mail could not be delivered"
    complained = "complained", "the customer reported the mail as unwanted"
    unsubscribed = "unsubscribed", "the customer withdrew consent to the topic"
    preference_changed = "preference_changed", "the customer stated or corrected something"
    converted = "converted", "the customer reached the campaign's goal"
    replied = "replied", "the customer wrote back"


class AnswerState(HelpEnum):
    """What an entry in a customer's history of answers says about one value of a question."""

    yes = "yes", "the customer said that it is so"
    no = "no", "the customer said that it is not so"
    unsaid = "unsaid", "the customer took the answer back, or another answer replaced it"


class AuditAction(HelpEnum):
    """What an operator did by hand, as the audit log names it."""

    suppressed = "suppressed", "suppressed an address"
    imported = "imported", "suppressed the addresses of a list"
    lifted = "lifted", "lifted a suppression"
    readmitted = "readmitted", "let an erased customer be imported again"
    exported = "exported", "exported the data of a customer"
    erased = "erased", "erased the data of a customer"
    read_again = "read again", "had messages that came back read again"


class FeedbackClass(HelpEnum):
    """What probably caused an open or a click."""

    human = "human", "no sign of a machine"
    proxy = "proxy", "a mail provider's image proxy"
    scanner = "scanner", "a security scanner or a robot"
    unknown = "unknown", "not enough information to classify"


FeedbackClasses = tuple[FeedbackClass, ...]

#: The mail arrived if one of these opened it: mail providers fetch the images of mail that they have accepted.
PROVES_OPEN: FeedbackClasses = (FeedbackClass.human, FeedbackClass.proxy)
#: What proves that an unconfirmed mail arrived. A scanner may follow links before accepting it: its clicks do not.
PROVES_ARRIVAL: Mapping[FeedbackKind, FeedbackClasses] = {
    FeedbackKind.opened: PROVES_OPEN,
    FeedbackKind.clicked: (FeedbackClass.human,),
}
#: Opens and clicks that reports count apart from those of people.
MACHINES: FeedbackClasses = (FeedbackClass.proxy, FeedbackClass.scanner)
#: Clicks that count as a person's until a burst of them shows a scanner.
NOT_MACHINES: FeedbackClasses = (FeedbackClass.human, FeedbackClass.unknown)


class IncomingKind(HelpEnum):
    """What a message that came back says."""

    hard = "hard", "the mailbox or its domain does not exist"
    soft = "soft", "not delivered: the mailbox is full or disabled, or the network failed"
    block = "block", "the server does not want the sender or this mail; says nothing about the address"
    delayed = "delayed", "not delivered yet; the server keeps trying"
    delivered = "delivered", "a server confirms that it delivered the mail or passed it on"
    complaint = "complaint", "the recipient reported the mail as spam"
    auto_reply = "auto_reply", "an automatic answer, such as an out-of-office note"
    unsubscribe = "unsubscribe", "written to the address for leaving"
    reply = "reply", "written by a person"
    unknown = "unknown", "none of these"


class BounceReason(HelpEnum):
    """Why a mail came back."""

    no_mailbox = "no mailbox", "the mailbox does not exist"
    no_domain = "no domain", "the domain does not exist"
    refuses_mail = "refuses mail", "the domain takes no mail at all"
    filtered = "filtered", "the server refused the recipient after it had read the mail"
    mailbox_full = "mailbox full", "the mailbox is full"
    mailbox_disabled = "mailbox disabled", "the mailbox exists, but is closed or suspended"
    moved = "moved", "the recipient has another address now"
    too_large = "too large", "the mail is too large"
    expired = "expired", "the server gave up after days"
    network = "network", "the recipient's server could not be reached"
    system = "system", "a fault of a server"
    authentication = "authentication", "SPF, DKIM, DMARC or a login is missing"
    sender = "sender", "the sender's address, domain or server is refused"
    spam = "spam", "the content is taken for spam or a virus"
    reputation = "reputation", "the sending server is on a blocklist"
    rate = "rate", "too much mail at once, or greylisting"
    relay = "relay", "the server takes no mail for that domain from us"
    policy = "policy", "a rule of the recipient or its server"
    suppressed = "suppressed", "the mail provider did not send it, because its own list has the address"
    unknown = "unknown", "not stated, or in words that no rule knows"


class Confidence(HelpEnum):
    """How sure a verdict on an incoming message is."""

    certain = "certain", "a machine-readable code or field says so"
    likely = "likely", "a known phrase says so"
    guess = "guess", "nothing says otherwise"


class IncomingSource(HelpEnum):
    """By which way a message came back."""

    pipe = "pipe", "handed over by 'mailshot mailbox take'"
    maildir = "maildir", "found in the Maildir"
    smtp = "smtp", "received on the port, by LMTP or SMTP"
    imap = "imap", "fetched from the IMAP server"
    standard = "standard", "webhook in our own format (Standard Webhooks)"
    ses = "ses", "webhook of Amazon SES, by SNS"
    sendgrid = "sendgrid", "webhook of SendGrid"
    mailgun = "mailgun", "webhook of Mailgun"
    postmark = "postmark", "webhook of Postmark"
    resend = "resend", "webhook of Resend"
    brevo = "brevo", "webhook of Brevo"
    mailjet = "mailjet", "webhook of Mailjet"
