"""The local inbox: takes mail on a loopback port, keeps it in a folder, and shows it as a mail client would."""

from mailshot.web.inbox.running import Inbox, run

__all__ = ["Inbox", "run"]
