"""Takes mail that came back and applies what it says: bounces, complaints, requests to unsubscribe, replies.

A message is stored before it is read (`take`), so none is lost. It is processed in one transaction with all its
effects (`process_waiting`), so none is applied twice. Only a message with a valid token of ours changes a customer;
what it changes is in `incoming_effects`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from mailshot.errors import MailshotError
from mailshot.feedback import incoming_effects, provider_events
from mailshot.incoming import parser
from mailshot.incoming.parser import IncomingMessage
from mailshot.states import IncomingKind
from mailshot.store import incoming_mail
from mailshot.store.engine import Store
from mailshot.store.incoming_mail import Effects, RawMail, StoredMail
from mailshot.tokens import KeyRing

log = logging.getLogger(__name__)
#: Numbers of waiting messages that are read at a time.
BATCH = 1000
#: How long the bytes of a message are kept, to be read again by a better parser.
RETENTION = timedelta(days=90)


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
        return _apply_once(store, mail, _read(mail, keys), at)
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


def _read(mail: StoredMail, keys: KeyRing) -> IncomingMessage:
    if mail.source in incoming_effects.BY_MAIL:
        return parser.parse(mail.raw, keys, mail.recipient)
    return provider_events.read_stored(mail, keys)


def _apply_once(store: Store, mail: StoredMail, message: IncomingMessage, at: datetime) -> bool:
    """Apply what a message says in one transaction; return False if another process did."""
    with store.write() as connection:
        ids = incoming_effects.mail_of(connection, message)
        before = mail.earlier.customer_id if mail.earlier else None
        customers = {customer_id for customer_id in (ids and ids[1], before) if customer_id is not None}
        if not incoming_mail.claim(connection, mail.id, sorted(customers), at):
            return False
        incoming_effects.apply(connection, mail, message, ids)
    return True
