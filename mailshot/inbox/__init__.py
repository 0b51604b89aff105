"""A local mail catcher for developers: an SMTP server on a loopback port, and web pages that show what it received.

Entry point: `Inbox`. The package uses forms, templates, headers and server of `web`, and none of its pages.
"""

from mailshot.inbox.server import Inbox

__all__ = ["Inbox"]
