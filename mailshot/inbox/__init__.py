"""A local mail catcher for developers: an SMTP server on a loopback port, and web pages that show what it received.

Entry point: `serve_inbox`. The package uses forms, templates, headers and server of `web`, and none of its pages.
"""

from mailshot.inbox.server import Inbox, serve_inbox

__all__ = ["Inbox", "serve_inbox"]
