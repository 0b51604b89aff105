"""Takes mail that came back and applies what it says: bounces, complaints, requests to unsubscribe, replies.

A message is stored before it is read (`take`), so none is lost. It is processed in one transaction with all its effects
(`process_waiting`), so none is applied twice. Only a message with a valid token of ours changes a customer; what it
changes is in `incoming_effects`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from mailshot.feedback import incoming_effects, provider_events
from mailshot.incoming import parser
from mailshot.store import incoming_mail
from mailshot.store.engine import Store
from mailshot.store.incoming_mail import RawMail, StoredMail
from mailshot.tokens import KeyRing

log = logging.getLogger(__name__)
#: Messages that are read before the next transaction.
BATCH = 100
#: How long the bytes of a message are kept, to be read again by a better parser.
RETENTION = timedelta(days=90)


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
    if mail.source in incoming_effects.BY_MAIL:
        message = parser.parse(mail.raw, keys, mail.recipient)
    else:
        message = provider_events.read_stored(mail, keys)
    with store.write() as connection:
        if not incoming_mail.claim(connection, mail.id, at):
            return False
        effects = incoming_effects.apply(connection, mail, message)
        incoming_mail.record_effects(connection, mail.id, effects)
    log.info("incoming message %d: %s%s", mail.id, effects.kind, f", {effects.effect}" if effects.effect else "")
    return True
