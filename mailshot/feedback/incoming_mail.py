"""Takes mail that came back and applies what it says: bounces, complaints, requests to unsubscribe, replies.

A message is stored before it is read (`take`), so none is lost. It is processed in one transaction with all its
effects (`process_waiting`), so none is applied twice. Only a message with a valid token of ours changes a customer, and
only one with a token from the header of a mail suppresses an address (`VerifiedToken.is_proof`).

A message that is read again by a better parser changes something only if it is read differently. Then what followed
from the first reading is taken back, except a withdrawal: the customer may have been told that it holds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from mailshot.errors import MailshotError
from mailshot.feedback import preferences
from mailshot.incoming import parser
from mailshot.incoming.parser import IncomingMessage
from mailshot.states import FeedbackKind, IncomingKind
from mailshot.store import consent, erasures, feedback, incoming_mail, ledger, privacy, suppression
from mailshot.store.engine import Connection, Store
from mailshot.store.feedback import FeedbackEvent
from mailshot.store.incoming_mail import EarlierReading, Effects, RawMail, StoredMail
from mailshot.tokens import KeyRing

log = logging.getLogger(__name__)
#: Numbers of waiting messages that are read at a time.
BATCH = 1000
#: The run and the customer of a mail.
Ids = tuple[int, int]
#: An address is suppressed when this many mails came back soft within this time, and none was opened in between.
#: A full mailbox empties; one that has been full for five mails is abandoned.
MAX_SOFT_BOUNCES, SOFT_BOUNCE_WINDOW = 5, timedelta(days=90)
#: How long the bytes of a message are kept, to be read again by a better parser.
RETENTION = timedelta(days=90)
#: The kinds after which it is certain that the mail was handed over.
PROVES_HANDOVER = frozenset(IncomingKind) - {IncomingKind.unknown, IncomingKind.delayed}
#: The kinds that anybody with a copy of a mail could forge to its recipient's harm.
NEEDS_PROOF = frozenset(
    {IncomingKind.hard, IncomingKind.soft, IncomingKind.block, IncomingKind.complaint, IncomingKind.unsubscribe}
)
NO_PROOF = "changes nothing: it names the mail only by a link, which anybody with a copy of the mail has"
UNSUBSCRIBE_MAIL = "unsubscribe mail"
SUPPRESSED = "suppressed the address"


def take(store: Store, mail: RawMail) -> bool:
    """Store a message, and return whether it is new. It is durable when this returns."""
    with store.write() as connection:
        return incoming_mail.store_mail(connection, mail)


def drop_old(store: Store, now: datetime) -> int:
    """Delete what is older than `RETENTION`: the bytes of messages, and those without a token; return how many."""
    with store.read() as connection:
        if not incoming_mail.has_old(connection, now - RETENTION):
            return 0  # another process may hold the lock for writing for long, such as an import
    with store.write() as connection:
        return incoming_mail.drop_old(connection, now - RETENTION)


def is_any_waiting(store: Store) -> bool:
    """Return whether a message waits to be processed."""
    with store.read() as connection:
        return bool(incoming_mail.waiting(connection, 1))


def process_waiting(store: Store, keys: KeyRing, now: Callable[[], datetime]) -> int:
    """Process all messages that wait, each in a transaction of its own; return how many."""
    processed = 0
    while True:
        with store.read() as connection:
            waiting = incoming_mail.waiting(connection, BATCH)
        for mail_id in waiting:
            processed += _process(store, keys, mail_id, now())
        if len(waiting) < BATCH:
            return processed


def _process(store: Store, keys: KeyRing, mail_id: int, at: datetime) -> bool:
    with store.read() as connection:
        mail = incoming_mail.find_waiting(connection, mail_id)
    if mail is None:
        return False
    try:
        return _apply_once(store, mail, parser.parse(mail.raw, keys, mail.recipient), at)
    except MailshotError:
        raise
    except Exception as error:
        # Any message that breaks our code must not stop those behind it. The error's text may quote the message.
        log.error("incoming message %d cannot be processed (%s); it is kept", mail.id, type(error).__name__)
        return _set_aside(store, mail, error, at)


def _set_aside(store: Store, mail: StoredMail, error: Exception, at: datetime) -> bool:
    """Mark a message as processed without any effect. With version 0, 'mailbox read-again' tries it again."""
    with store.write() as connection:
        claimed = incoming_mail.claim(connection, mail.id, (), at)
        if claimed and mail.earlier is None:
            rule = f"cannot be processed: {type(error).__name__}"
            incoming_mail.record_effects(connection, mail.id, Effects(IncomingKind.unknown, {"rule": rule}, 0))
    return claimed


def _apply_once(store: Store, mail: StoredMail, message: IncomingMessage, at: datetime) -> bool:
    """Apply what a message says in one transaction; return False if another process did."""
    with store.write() as connection:
        ids = _mail_of(connection, message)
        before = mail.earlier.customer_id if mail.earlier else None
        customers = {customer_id for customer_id in (ids and ids[1], before) if customer_id is not None}
        if not incoming_mail.claim(connection, mail.id, sorted(customers), at):
            return False
        if ids is not None and _is_erased(connection, ids[1]):
            incoming_mail.delete(connection, mail.id)
            erasures.reopen(connection, [ids[1]])
            log.info("incoming message %d: deleted, because the customer's data was erased", mail.id)
            return True
        effects = _apply(connection, mail, message, ids)
        incoming_mail.record_effects(connection, mail.id, effects)
    log.info("incoming message %d: %s%s", mail.id, effects.kind, f", {effects.effect}" if effects.effect else "")
    return True


def _mail_of(connection: Connection, message: IncomingMessage) -> Ids | None:
    """Return the run and the customer of the mail that a message is about, None for an unmatched one."""
    ids = message.token.ids if message.token else ()
    if len(ids) < 2 or not incoming_mail.has_mail(connection, ids[0], ids[1]):
        return None
    return ids[0], ids[1]


def _is_erased(connection: Connection, customer_id: int) -> bool:
    person = privacy.person(connection, customer_id)
    return person is None or person.erased


def _apply(connection: Connection, mail: StoredMail, message: IncomingMessage, ids: Ids | None) -> Effects:
    verdict, earlier = _verdict(message), mail.earlier
    is_proven = message.token is not None and message.token.is_proof
    if message.kind in NEEDS_PROOF and ids is not None and not is_proven:
        verdict["note"] = NO_PROOF
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
        ledger.confirm_arrival(connection, *ids, mail.received_at, how)
    return replace(effects, effect=effect)


def _take_back(connection: Connection, mail: StoredMail, earlier: EarlierReading) -> None:
    """Undo what followed from an earlier reading. A suppression stays when another message asked for it, too."""
    if earlier.customer_id is not None:
        feedback.withdraw_event(connection, earlier.customer_id, _key(mail))
    for address_hash in suppression.lift_from_source(connection, _source(mail.id)):
        for other in incoming_mail.others_with_effect(connection, SUPPRESSED, address_hash, mail.id):
            reason = suppression.COMPLAINED if other.kind is IncomingKind.complaint else suppression.BOUNCED
            suppression.add(connection, address_hash, reason, _source(other.id), other.received_at)


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
    """A later consent on the preference page stays: the message may have waited, or been read again."""
    topic = preferences.topic_of_mail(connection, *ids)
    page = preferences.PREFERENCE_PAGE
    if topic and consent.was_given_after(connection, ids[1], topic, mail.received_at, page):
        return ""
    request = preferences.WithdrawalRequest(*ids, mail.received_at, UNSUBSCRIBE_MAIL, {"message": mail.id})
    topic = preferences.withdraw(connection, request)
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
        customer_id, kind, _key(mail), mail.received_at, run_id, why=message.diagnostic, detail=detail
    )
    feedback.record_event(connection, event)


def _suppress(connection: Connection, mail: StoredMail, ids: Ids, reason: str) -> str:
    """Suppress the address that the mail went to, which may no longer be the customer's."""
    address_hash = incoming_mail.mailed_address(connection, *ids)
    if address_hash is None:
        return ""
    suppression.add(connection, address_hash, reason, _source(mail.id), mail.received_at)
    return SUPPRESSED
