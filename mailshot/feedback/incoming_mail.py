"""Takes mail that came back and applies what it says: bounces, complaints, requests to unsubscribe, replies.

A message is stored before it is read (`take`), so none is lost. It is processed in one transaction with all its effects
(`process_waiting`), so none is applied twice. Only a message with a valid token of ours changes a customer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from mailshot.feedback import preferences
from mailshot.incoming import parser
from mailshot.incoming.parser import IncomingMessage
from mailshot.states import FeedbackKind, IncomingKind
from mailshot.store import feedback, incoming_mail, ledger, suppression
from mailshot.store.engine import Connection, Store
from mailshot.store.feedback import FeedbackEvent
from mailshot.store.incoming_mail import Effects, RawMail, StoredMail
from mailshot.tokens import KeyRing

log = logging.getLogger(__name__)
#: Messages that are read before the next transaction.
BATCH = 100
#: An address is suppressed when this many mails came back soft within this time, and none was opened in between.
#: A full mailbox empties; one that has been full for five mails is abandoned.
MAX_SOFT_BOUNCES, SOFT_BOUNCE_WINDOW = 5, timedelta(days=90)
#: How long the bytes of a message are kept, to be read again by a better parser.
RETENTION = timedelta(days=90)
#: The kinds after which it is certain that the mail was handed over.
PROVES_HANDOVER = frozenset(IncomingKind) - {IncomingKind.unknown, IncomingKind.delayed}
UNSUBSCRIBE_MAIL = "unsubscribe mail"


def take(store: Store, mail: RawMail) -> bool:
    """Store a message, and return whether it is new. It is durable when this returns."""
    with store.write() as connection:
        return incoming_mail.store_mail(connection, mail)


def process_waiting(store: Store, keys: KeyRing, now: Callable[[], datetime]) -> int:
    """Process all messages that wait, each in a transaction of its own; return how many."""
    processed = 0
    while True:
        with store.read() as connection:
            waiting = incoming_mail.waiting(connection, BATCH)
        for mail in waiting:
            processed += _process(store, keys, mail, now())
        if len(waiting) < BATCH:
            return processed


def _process(store: Store, keys: KeyRing, mail: StoredMail, at: datetime) -> bool:
    message = parser.parse(mail.raw, keys, mail.recipient)
    with store.write() as connection:
        if not incoming_mail.claim(connection, mail.id, at):
            return False
        effects = _apply(connection, mail, message)
        incoming_mail.record_effects(connection, mail.id, effects)
    log.info("incoming message %d: %s%s", mail.id, effects.kind, f", {effects.effect}" if effects.effect else "")
    return True


def _apply(connection: Connection, mail: StoredMail, message: IncomingMessage) -> Effects:
    ids = message.token.ids[:2] if message.token else ()
    verdict = _verdict(message)
    if len(ids) < 2 or not incoming_mail.has_mail(connection, ids[0], ids[1]):
        return Effects(message.kind, verdict, message.parser_version)
    run_id, customer_id = ids
    feedback.withdraw_event(connection, customer_id, _key(mail))
    effect = _EFFECTS.get(message.kind, _no_effect)(connection, mail, message, (run_id, customer_id))
    if message.kind in PROVES_HANDOVER:
        how = f"{message.kind.help} (message {mail.id})"
        ledger.confirm_arrival(connection, run_id, customer_id, mail.received_at, how)
    return Effects(message.kind, verdict, message.parser_version, run_id, customer_id, effect)


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


Ids = tuple[int, int]
Effect = Callable[[Connection, StoredMail, IncomingMessage, Ids], str]


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
    request = preferences.WithdrawalRequest(*ids, mail.received_at, UNSUBSCRIBE_MAIL, {"message": mail.id})
    topic = preferences.withdraw(connection, request)
    return f"withdrew '{topic}'" if topic else ""


def _replied(connection: Connection, mail: StoredMail, message: IncomingMessage, ids: Ids) -> str:
    _record(connection, mail, FeedbackKind.replied, message, ids)
    return ""


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
    suppression.add(connection, address_hash, reason, f"message {mail.id}", mail.received_at)
    return "suppressed the address"
