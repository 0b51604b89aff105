"""Receives mail over SMTP on a loopback port and stores it; none of it is passed on."""

from __future__ import annotations

import logging
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from mailshot.inbox.mailbox import Mailbox

MAX_BYTES = 25 * 1024 * 1024
MAX_RECIPIENTS = 1_000  # of one mail: ten times what a server must accept (RFC 5321 section 4.5.3.1.8)
NAME = "inbox.localhost"


class Catcher:
    """Stores every mail in the box."""

    def __init__(self, box: Mailbox) -> None:
        self._box = box

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        # Commands are read one by one from a buffer, so a client may send several at once (RFC 2920).
        session.host_name = hostname
        return [responses[0], "250-PIPELINING", *responses[1:]]

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) >= MAX_RECIPIENTS:
            return "452 4.5.3 Too many recipients"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content: Any = envelope.original_content or b""
        try:
            mail_id = self._box.add(envelope.mail_from or "", envelope.rcpt_tos, content)
        except OSError as error:
            return f"452 4.3.1 Cannot be kept: {error.strerror}"
        return f"250 2.0.0 Kept as {mail_id}"


def controller(box: Mailbox, host: str, port: int) -> Controller:
    """Return the server that fills `box`; it runs in its own thread between start() and stop()."""
    # aiosmtpd logs recipients at INFO and whole mails at DEBUG.
    logging.getLogger("mail.log").setLevel(logging.WARNING)
    return Controller(
        Catcher(box),
        hostname=host,
        port=port,
        server_hostname=NAME,
        data_size_limit=MAX_BYTES,
        enable_SMTPUTF8=True,
        ident="Mailshot inbox",
    )
