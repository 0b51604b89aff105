"""A local mail catcher for developers: an SMTP sink on a loopback port, and a web page that shows what it caught.

Entry point: `run`.
"""

from mailshot.inbox.server import Inbox, run

__all__ = ["Inbox", "run"]
