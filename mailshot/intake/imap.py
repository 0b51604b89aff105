"""Collects messages from a folder on an IMAP server: each is stored, then moved to the folder `Processed`.

A crash in between leaves a message where it was. It is fetched again, and stored only once.
"""

from __future__ import annotations

import imaplib
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from imap_tools import BaseMailBox, MailBox, MailBoxUnencrypted
from imap_tools.errors import ImapToolsError

from mailshot.errors import Unavailable
from mailshot.intake.mailbox_address import MailboxAddress, MailboxKind
from mailshot.states import IncomingSource
from mailshot.store.incoming_mail import RawMail

PROCESSED = "Processed"
TIMEOUT_SECONDS = 60
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def collect(mailbox: MailboxAddress, take: Callable[[RawMail], bool], stop: Callable[[], bool]) -> int:
    """Store all messages of a folder, and return how many. Raises Unavailable."""
    try:
        with _login(mailbox) as server:
            return _collect(server, take, stop)
    except (ImapToolsError, imaplib.IMAP4.error, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Unavailable(
            f"Cannot read {mailbox}: {reason}.", "Check host, port, user and password in MAILSHOT_MAILBOX."
        ) from error


@contextmanager
def _login(mailbox: MailboxAddress) -> Iterator[BaseMailBox]:
    """Open the folder. A password crosses no network without TLS."""
    if mailbox.kind is MailboxKind.imaps:
        server: BaseMailBox = MailBox(
            mailbox.host, mailbox.port, timeout=TIMEOUT_SECONDS, ssl_context=ssl.create_default_context()
        )
    elif mailbox.host in LOOPBACK:
        server = MailBoxUnencrypted(mailbox.host, mailbox.port, timeout=TIMEOUT_SECONDS)
    else:
        raise Unavailable(f"{mailbox} is not encrypted.", "Use imaps:// for a server on another machine.")
    with server.login(mailbox.user, mailbox.password, initial_folder=mailbox.folder):
        yield server


def _collect(server: BaseMailBox, take: Callable[[RawMail], bool], stop: Callable[[], bool]) -> int:
    collected, uids = 0, server.uids()
    if uids and not server.folder.exists(PROCESSED):
        server.folder.create(PROCESSED)
    for uid in uids:
        if stop():
            break
        raw = _raw(server, uid)
        if raw is not None:
            take(RawMail(raw, IncomingSource.imap, None, datetime.now(UTC)))
            collected += 1
        server.move(uid, PROCESSED)
    return collected


def _raw(server: BaseMailBox, uid: str) -> bytes | None:
    """Return the bytes of a message, without marking it as read; None when it is gone. `fetch` would parse it."""
    _, answer = server.client.uid("FETCH", uid, "(BODY.PEEK[])")
    return next((part[1] for part in answer if isinstance(part, tuple)), None)
