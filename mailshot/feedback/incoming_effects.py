"""Applies what came back about a mail, as a message or as an event of its provider: suppresses, withdraws, records.

Everything that says the same has the same effect, whichever way it came. The caller makes sure that each message is
applied once, and in the transaction that stores it. Only a token from the header of a mail suppresses an address or
withdraws consent (`VerifiedToken.is_proof`).

A message that is read again by a better parser changes something only if it is read differently. Then what followed
from the first reading is undone, except a withdrawal of consent, which the customer may rely on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from mailshot.feedback import preferences, sign_up, withdrawals
from mailshot.incoming.attribution import ADDRESSED
from mailshot.incoming.parser import IncomingMessage
from mailshot.states import DeliveryState, FeedbackKind, IncomingKind, IncomingSource
from mailshot.store import consent, erasures, feedback, incoming_mail, ledger, privacy, suppression
from mailshot.store.engine import Connection
from mailshot.store.feedback import FeedbackEvent
from mailshot.store.incoming_mail import EarlierReading, Effects, StoredMail
from mailshot.tokens import Purpose

log = logging.getLogger(__name__)
#: An address is suppressed when this many mails came back soft within this time, and none was opened in between.
#: A full mailbox empties; one that has been full for five mails is abandoned.
MAX_SOFT_BOUNCES, SOFT_BOUNCE_WINDOW = 5, timedelta(days=90)
#: The kinds after which it is certain that the mail was handed over.
PROVES_HANDOVER = frozenset(IncomingKind) - {IncomingKind.unknown, IncomingKind.delayed}
#: By which way consent was withdrawn, in the log of consent.
UNSUBSCRIBE_MAIL, UNSUBSCRIBED_AT_PROVIDER = "unsubscribe mail", "mail provider"
#: The numbers of a mail: its run and its customer.
Ids = tuple[int, int]
#: Ways by which mail itself comes back. All others are webhooks.
BY_MAIL = (IncomingSource.pipe, IncomingSource.maildir, IncomingSource.smtp, IncomingSource.imap)
#: The kinds that anybody with a copy of a mail could forge to its recipient's harm.
NEEDS_PROOF = frozenset(
    {IncomingKind.hard, IncomingKind.soft, IncomingKind.block, IncomingKind.complaint, IncomingKind.unsubscribe}
)
#: Where customers themselves consent, by our clock: an older request to unsubscribe that arrives later changes nothing.
OWN_CONSENT = (preferences.PREFERENCE_PAGE, sign_up.SOURCE)
NO_PROOF = "changes nothing: it names the mail only by what anybody with a copy has: a link or the reply address"
NOT_FROM_SERVER = "changes nothing: it came to the reply address, to which no mail server sends reports"
SUPPRESSED = "suppressed the address"


def mail_of(connection: Connection, message: IncomingMessage) -> Ids | None:
    """Return the run and the customer of the mail that a message is about, None for an unmatched one."""
    ids = message.token.ids if message.token else ()
    if len(ids) < 2 or not incoming_mail.has_mail(connection, ids[0], ids[1]):
        return None
    return ids[0], ids[1]


def _is_erased(connection: Connection, customer_id: int) -> bool:
    person = privacy.person(connection, customer_id)
    return person is None or person.erased


def apply(connection: Connection, mail: StoredMail, message: IncomingMessage, ids: Ids | None) -> None:
    """Apply a message about the mail `ids`, and store what it says and what it changed.

    With None (the message matches no mail) nothing changes. A message about an erased customer is deleted, because it
    contains the address.
    """
    if ids is not None and _is_erased(connection, ids[1]):
        incoming_mail.delete(connection, mail.id)
        erasures.reopen(connection, [ids[1]])
        log.info("incoming message %d: deleted, because the customer's data was erased", mail.id)
        return
    effects = _effects(connection, mail, message, ids)
    incoming_mail.record_effects(connection, mail.id, effects)
    log.info("incoming message %d: %s%s", mail.id, effects.kind, f", {effects.effect}" if effects.effect else "")


def confirm_handover(connection: Connection, ids: Ids, at: datetime, how: str) -> None:
    """Settle a mail whose delivery was unconfirmed: a server had accepted it."""
    status = feedback.mail_statuses(connection, [ids]).get(ids)
    if status is not None and status.state == DeliveryState.unconfirmed:
        ledger.confirm_arrival(connection, *ids, at, how)


def _effects(connection: Connection, mail: StoredMail, message: IncomingMessage, ids: Ids | None) -> Effects:
    verdict, earlier = _verdict(message), mail.earlier
    is_proven = message.token is not None and message.token.is_proof
    if message.kind in NEEDS_PROOF and ids is not None and not is_proven:
        verdict["note"] = _why_not(message)
    run_id, customer_id = ids or (None, None)
    effects = Effects(message.kind, verdict, message.parser_version, run_id, customer_id)
    if earlier is not None:
        if (earlier.kind, earlier.run_id, earlier.customer_id) == (message.kind, run_id, customer_id):
            return replace(effects, effect=earlier.effect)
        _take_back(connection, mail, earlier)
    if ids is None or (message.kind in NEEDS_PROOF and not is_proven):
        return effects
    effect = _EFFECTS.get(message.kind, _no_effect)(connection, mail, message, ids)
    if message.kind in PROVES_HANDOVER:
        how = f"{message.kind.help} (message {mail.id})"
        confirm_handover(connection, ids, mail.received_at, how)
    return replace(effects, effect=effect)


def _why_not(message: IncomingMessage) -> str:
    token = message.token
    is_to_reply_address = token is not None and token.purpose is Purpose.reply and token.place in ADDRESSED
    return NOT_FROM_SERVER if is_to_reply_address else NO_PROOF


def _take_back(connection: Connection, mail: StoredMail, earlier: EarlierReading) -> None:
    """Undo what followed from an earlier reading. A suppression stays when another message asked for it, too."""
    if earlier.customer_id is not None:
        feedback.withdraw_event(connection, earlier.customer_id, _key(mail))
    for address_hash in suppression.lift_from_source(connection, _source(mail.id)):
        for other in incoming_mail.others_with_effect(connection, SUPPRESSED, address_hash, mail.id):
            reason = suppression.COMPLAINED if other.kind is IncomingKind.complaint else suppression.BOUNCED
            suppression.add(connection, address_hash, reason, _source(other.id), other.received_at)


def _moment(mail: StoredMail, message: IncomingMessage) -> datetime:
    """Return when it happened; a clock that is ahead of ours counts as ours."""
    return min(message.happened_at or mail.received_at, mail.received_at)


def _source(mail_id: int) -> str:
    return f"message {mail_id}"


def _verdict(message: IncomingMessage) -> dict[str, Any]:
    """Return what was read, in types that JSON knows, without what is empty."""
    read = {
        "rule": message.rule,
        "confidence": str(message.confidence),
        "reason": str(message.reason) if message.reason else "",
        "address": message.reported_address,
        "code": message.enhanced_code,
        "smtp_code": message.smtp_code,
        "diagnostic": message.diagnostic,
        "from": message.written_by,
        "subject": message.subject,
        "until": message.until.isoformat() if message.until else "",
        "text": message.text,
        "asks_to_stop": message.asks_to_stop,
        "token": str(message.token.place) if message.token else "",
    }
    return {name: value for name, value in read.items() if value}


def _no_effect(connection: Connection, mail: StoredMail, message: IncomingMessage, ids: Ids) -> str:
    return ""


def _bounced_hard(connection: Connection, mail: StoredMail, message: IncomingMessage, ids: Ids) -> str:
    _record(connection, mail, FeedbackKind.bounced, message, ids)
    return _suppress(connection, mail, ids, suppression.BOUNCED)


def _bounced_soft(connection: Connection, mail: StoredMail, message: IncomingMessage, ids: Ids) -> str:
    _record(connection, mail, FeedbackKind.bounced, message, ids)
    # The window ends at the receipt, because events may arrive in any order.
    since = mail.received_at - SOFT_BOUNCE_WINDOW
    bounced = feedback.soft_bounces(connection, ids[1], since, mail.received_at)
    return _suppress(connection, mail, ids, suppression.BOUNCED) if bounced >= MAX_SOFT_BOUNCES else ""


def _blocked(connection: Connection, mail: StoredMail, message: IncomingMessage, ids: Ids) -> str:
    """The server refuses the sender or this mail, which says nothing about the address."""
    _record(connection, mail, FeedbackKind.bounced, message, ids)
    return ""


def _complained(connection: Connection, mail: StoredMail, message: IncomingMessage, ids: Ids) -> str:
    _record(connection, mail, FeedbackKind.complained, message, ids)
    return _suppress(connection, mail, ids, suppression.COMPLAINED)


def _unsubscribed(connection: Connection, mail: StoredMail, message: IncomingMessage, ids: Ids) -> str:
    """A later consent of the customer stays: the message may have waited, or been read again."""
    topic = withdrawals.topic_of_mail(connection, *ids)
    if topic and consent.was_given_after(connection, ids[1], topic, mail.received_at, OWN_CONSENT):
        return ""
    source = UNSUBSCRIBE_MAIL if mail.source in BY_MAIL else UNSUBSCRIBED_AT_PROVIDER
    request = withdrawals.WithdrawalRequest(*ids, mail.received_at, source, {"message": mail.id})
    topic = withdrawals.withdraw(connection, request)
    return f"withdrew '{topic}'" if topic else ""


def _replied(connection: Connection, mail: StoredMail, message: IncomingMessage, ids: Ids) -> str:
    _record(connection, mail, FeedbackKind.replied, message, ids)
    return ""


Effect = Callable[[Connection, StoredMail, IncomingMessage, Ids], str]
_EFFECTS: dict[IncomingKind, Effect] = {
    IncomingKind.hard: _bounced_hard,
    IncomingKind.soft: _bounced_soft,
    IncomingKind.block: _blocked,
    IncomingKind.complaint: _complained,
    IncomingKind.unsubscribe: _unsubscribed,
    IncomingKind.reply: _replied,
}


def _key(mail: StoredMail) -> str:
    return f"mail:{mail.digest[:32]}"


def _record(connection: Connection, mail: StoredMail, kind: FeedbackKind, message: IncomingMessage, ids: Ids) -> None:
    run_id, customer_id = ids
    detail = {"kind": str(message.kind), "code": message.enhanced_code, "reason": str(message.reason or "")}
    detail = {name: value for name, value in detail.items() if value}
    event = FeedbackEvent(
        customer_id, kind, _key(mail), _moment(mail, message), run_id, why=message.diagnostic, detail=detail
    )
    feedback.record_event(connection, event)


def _suppress(connection: Connection, mail: StoredMail, ids: Ids, reason: str) -> str:
    """Suppress the address that the mail went to, which may no longer be the customer's."""
    address_hash = incoming_mail.mailed_address(connection, *ids)
    if address_hash is None:
        return ""
    suppression.add(connection, address_hash, reason, _source(mail.id), mail.received_at)
    return SUPPRESSED
