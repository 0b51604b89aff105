"""Simulated mail servers of the demo: what they and mail programs send back about a mail."""

from __future__ import annotations

import re
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP, default

#: Action, status and reply of servers, by what they mean.
STATUSES = {
    "hard": ("failed", "5.1.1", "550 5.1.1 <{to}>: Recipient address rejected: User unknown"),
    "soft": ("failed", "5.2.2", "552 5.2.2 <{to}>: mailbox full"),
    "block": ("failed", "5.7.1", "554 5.7.1 Service unavailable; client host blocked using zen.spamhaus.org"),
    "delayed": ("delayed", "4.4.1", "connect to mx.example: Connection timed out"),
}


def bounce(source: str, recipient: str, kind: str) -> bytes:
    """Return a delivery status notification (RFC 3464) about a mail, for one kind of `STATUSES`."""
    action, status, reply = STATUSES[kind]
    reply = reply.format(to=recipient)
    fields = f"""Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; {recipient}
Action: {action}
Status: {status}
Diagnostic-Code: smtp; {reply}
"""
    notice = f"I could not deliver your message.\n\n<{recipient}>: {reply}\n"
    head = ("MAILER-DAEMON@mx.example", "Undelivered Mail Returned to Sender", "delivery-status")
    return _report(source, head, notice, fields)


def complaint(source: str) -> bytes:
    """Return the feedback report of a mailbox provider (RFC 5965) about a mail."""
    fields = "Feedback-Type: abuse\nUser-Agent: Provider/1.0\nVersion: 1\n"
    head = ("fbl@provider.example", "Abuse report", "feedback-report")
    return _report(source, head, "This is an abuse report for a message.\n", fields)


def unsubscribe(source: str, sender: str) -> bytes:
    """Return what a mail program sends to the address in List-Unsubscribe (RFC 2369)."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, leave_address(source), "unsubscribe"
    message.set_content("\n")
    return message.as_bytes(policy=SMTP)


def leave_address(source: str) -> str:
    """Return the address for unsubscribing by mail that a mail names; "" when it names none."""
    header = str(BytesParser(policy=default).parsebytes(source.encode(), headersonly=True)["List-Unsubscribe"])
    match = re.search(r"<mailto:([^>]+)>", "".join(header.split()))
    return match[1] if match else ""


def _report(source: str, head: tuple[str, str, str], notice: str, fields: str) -> bytes:
    """Return a multipart/report (RFC 6522): a notice, fields, and the mail that came back."""
    sender, subject, kind = head
    message = f"""From: {sender}
To: the envelope sender
Subject: {subject}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type={kind}; boundary=edge

--edge
Content-Type: text/plain; charset=utf-8

{notice}
--edge
Content-Type: message/{kind}

{fields}
--edge
Content-Type: message/rfc822

{source}
--edge--
"""
    return "\r\n".join(message.splitlines()).encode()
