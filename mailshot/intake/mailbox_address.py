"""The setting MAILSHOT_MAILBOX: where mail that comes back arrives."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mailshot.errors import SettingsError

EXAMPLES = "lmtp://127.0.0.1:8024, smtp://0.0.0.0:25, maildir:/var/mail/mailshot, imaps://user:password@host or pipe"


class MailboxKind(StrEnum):
    """The way by which mail arrives."""

    lmtp = "lmtp"
    smtp = "smtp"
    maildir = "maildir"
    imap = "imap"
    imaps = "imaps"
    pipe = "pipe"


#: The ports that are used where the setting names none (RFC 2821, RFC 3501, RFC 8314); LMTP has no port of its own.
PORTS = {MailboxKind.smtp: 25, MailboxKind.imap: 143, MailboxKind.imaps: 993}


@dataclass(frozen=True, slots=True)
class MailboxAddress:
    """Where mail arrives, and how to get at it."""

    kind: MailboxKind
    host: str = ""
    port: int = 0
    #: The folder on disk of a Maildir, or the folder on the IMAP server.
    folder: str = ""
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> MailboxAddress | None:
        """Read the setting; None when it is empty. Raises SettingsError."""
        if not text:
            return None
        if text == MailboxKind.pipe:
            return cls(MailboxKind.pipe)
        scheme, separator, rest = text.partition(":")
        if separator and scheme == MailboxKind.maildir and rest:
            return cls(MailboxKind.maildir, folder=str(Path(rest).expanduser()))
        try:
            kind, parts = MailboxKind(scheme), urlsplit(text)
            port = parts.port or PORTS.get(kind, 0)
        except ValueError:
            raise _malformed() from None
        if not parts.hostname or not port or kind is MailboxKind.maildir:
            raise _malformed()
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(kind, parts.hostname, port, unquote(parts.path.strip("/")) or "INBOX", user, password)

    @property
    def listens(self) -> bool:
        """Whether it is a port of our own."""
        return self.kind in (MailboxKind.lmtp, MailboxKind.smtp)

    def __str__(self) -> str:
        """Return it without user and password."""
        if self.kind is MailboxKind.pipe:
            return "pipe ('mailshot mailbox take')"
        return (
            f"maildir:{self.folder}" if self.kind is MailboxKind.maildir else f"{self.kind}://{self.host}:{self.port}"
        )


def _malformed() -> SettingsError:
    return SettingsError("MAILSHOT_MAILBOX is malformed.", f"Examples: {EXAMPLES}.")
