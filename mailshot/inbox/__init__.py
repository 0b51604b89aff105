"""The local inbox: takes mail on a loopback port, keeps it in a folder, and shows it as a mail client would."""

from mailshot.inbox.server import Inbox, run

__all__ = ["Inbox", "run"]
