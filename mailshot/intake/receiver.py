"""The loop of the mailbox process: receives messages, has them stored, and has those that wait processed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mailshot.errors import Busy, MailshotError
from mailshot.intake.mailbox_address import MailboxAddress, MailboxKind
from mailshot.store.incoming_mail import RawMail
from mailshot.tokens import KeyRing

log = logging.getLogger(__name__)
#: Between two looks at a Maildir, and at messages that wait; and between two logins to an IMAP server.
POLL_SECONDS, IMAP_POLL_SECONDS = 1.0, 30.0
#: After an error, the wait before the next try.
RETRY_SECONDS = 30.0
Take = Callable[[RawMail], bool]


@dataclass(frozen=True, slots=True)
class MailHandlers:
    """What is done with mail: `take` stores a message durably, `process` applies all stored ones that wait."""

    take: Take
    process: Callable[[], object]


def receive_until(mailbox: MailboxAddress, keys: KeyRing, handlers: MailHandlers, stop: threading.Event) -> None:
    """Receive mail until `stop` is set. Raises Unavailable when the port cannot be used."""
    with _listening(mailbox, handlers.take, keys):
        wait = 0.0
        while not stop.wait(wait):
            wait = _round(mailbox, handlers, stop)


def _round(mailbox: MailboxAddress, handlers: MailHandlers, stop: threading.Event) -> float:
    """Collect and process once; return the seconds until the next round."""
    try:
        _collect(mailbox, handlers.take, stop.is_set)
        handlers.process()
    except Busy:
        return POLL_SECONDS
    except MailshotError as error:
        log.error("%s", error)
        return RETRY_SECONDS
    except Exception as error:
        # The process must go on receiving. The error's text may quote a message.
        log.error("mail could not be collected or processed (%s)", type(error).__name__)
        return RETRY_SECONDS
    return IMAP_POLL_SECONDS if mailbox.kind in (MailboxKind.imap, MailboxKind.imaps) else POLL_SECONDS


def _collect(mailbox: MailboxAddress, take: Take, stop: Callable[[], bool]) -> None:
    if mailbox.kind is MailboxKind.maildir:
        from mailshot.intake import maildir

        maildir.collect(Path(mailbox.folder), take, stop)
    elif mailbox.kind in (MailboxKind.imap, MailboxKind.imaps):
        from mailshot.intake import imap

        imap.collect(mailbox, take, stop)


@contextmanager
def _listening(mailbox: MailboxAddress, take: Take, keys: KeyRing) -> Iterator[None]:
    """Keep a port open, if the mailbox is one."""
    if not mailbox.listens:
        yield
        return
    from mailshot.intake.listener import Listener

    listener = Listener(mailbox, take, keys)
    listener.start()
    try:
        yield
    finally:
        listener.stop()
