"""Starts and stops the inbox, which listens on this machine only."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

from mailshot.errors import Refused, Unavailable
from mailshot.inbox import pages, smtp_sink
from mailshot.inbox.mailbox import Mailbox
from mailshot.web import server

SMTP_SETTING, WEB_SETTING = "MAILSHOT_INBOX_SMTP_PORT", "MAILSHOT_INBOX_WEB_PORT"


class Inbox:
    """The SMTP server and the pages, each in a thread between start() and stop().

    Raises Refused for an address of another machine.
    """

    def __init__(self, smtp_port: int, web_port: int, folder: Path, host: str = "127.0.0.1") -> None:
        if not _loopback(host):
            raise Refused(f"The inbox listens on this machine only, not on '{host}'.", "Use 127.0.0.1.")
        self.box = Mailbox(folder)
        self._host, self._smtp_port = host, smtp_port
        self._catcher = smtp_sink.controller(self.box, host, smtp_port)
        self._pages = server.ThreadedServer(pages.create_app(self.box), host, web_port, setting=WEB_SETTING)

    def check_ports(self) -> None:
        """Raise Unavailable when a port cannot be listened on."""
        server.check_port(self._host, self._smtp_port, SMTP_SETTING)
        self._pages.check_port()

    def start(self) -> None:
        """Begin to receive and show mail. Raises Unavailable when a port is in use."""
        self._catch()
        try:
            self._pages.start()
        except Unavailable:
            self._catcher.stop()
            raise

    def stop(self) -> None:
        """Finish the requests in progress and close both ports."""
        self._catcher.stop()
        self._pages.stop()

    def serve(self) -> None:
        """Receive and show mail until SIGTERM or SIGINT; for the main thread of a process."""
        self._catch()
        try:
            self._pages.serve()
        finally:
            self._catcher.stop()

    def _catch(self) -> None:
        self.check_ports()
        try:
            self._catcher.start()
        except OSError as error:
            raise server.cannot_listen(self._host, self._smtp_port, SMTP_SETTING, error) from error


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
