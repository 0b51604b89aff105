"""Writes what mail servers and people send back about a mail, as the sink received it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP, default
from typing import Any

#: Status and reply of servers, by what they mean.
STATUSES = {
    "hard": ("failed", "5.1.1", "550 5.1.1 <{to}>: Recipient address rejected: User unknown"),
    "soft": ("failed", "5.2.2", "552 5.2.2 <{to}>: mailbox full"),
    "block": ("failed", "5.7.1", "554 5.7.1 Service unavailable; client host blocked using zen.spamhaus.org"),
    "delayed": ("delayed", "4.4.1", "connect to mx.example: Connection timed out"),
}


def bounce(mail: Mapping[str, Any], kind: str) -> bytes:
    """Return a delivery status notification (RFC 3464) about a mail of the sink, for one kind of `STATUSES`."""
    action, status, reply = STATUSES[kind]
    reply = reply.format(to=mail["rcpt"])
    fields = f"""Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; {mail["rcpt"]}
Action: {action}
Status: {status}
Diagnostic-Code: smtp; {reply}
"""
    notice = f"I could not deliver your message.\n\n<{mail['rcpt']}>: {reply}\n"
    subject = "Undelivered Mail Returned to Sender"
    return _report(mail, ("MAILER-DAEMON@mx.example", subject, "delivery-status"), notice, fields)


def complaint(mail: Mapping[str, Any]) -> bytes:
    """Return a feedback report of a mailbox provider (RFC 5965)."""
    fields = "Feedback-Type: abuse\nUser-Agent: Provider/1.0\nVersion: 1\n"
    head = ("fbl@provider.example", "Abuse report", "feedback-report")
    return _report(mail, head, "This is an abuse report for a message.\n", fields)


def _report(mail: Mapping[str, Any], head: tuple[str, str, str], notice: str, fields: str) -> bytes:
    """Return a multipart/report (RFC 6522): a notice, fields, and the mail that came back."""
    sender, subject, kind = head
    message = f"""From: {sender}
To: {mail["from"]}
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

{mail["data"]}
--edge--
"""
    return "\r\n".join(message.splitlines()).encode()


def out_of_office(mail: Mapping[str, Any]) -> bytes:
    """Return an automatic answer (RFC 3834)."""
    answer = _answer(mail, "Out of office: Hello", "I am away until Monday.\n")
    answer["Auto-Submitted"] = "auto-replied"
    return answer.as_bytes(policy=SMTP)


def reply(mail: Mapping[str, Any], text: str) -> bytes:
    """Return what a person answers."""
    return _answer(mail, "Re: Hello", text).as_bytes(policy=SMTP)


def unsubscribe(mail: Mapping[str, Any]) -> bytes:
    """Return what a mail program sends for List-Unsubscribe (RFC 2369)."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = mail["rcpt"], leave_address(mail), "unsubscribe"
    message.set_content("\n")
    return message.as_bytes(policy=SMTP)


def from_address(mail: Mapping[str, Any]) -> str:
    """Return the address that the mail is from."""
    return str(BytesParser(policy=default).parsebytes(mail["data"].encode(), headersonly=True)["From"])


def leave_address(mail: Mapping[str, Any]) -> str:
    """Return the address in the mail's List-Unsubscribe."""
    header = str(BytesParser(policy=default).parsebytes(mail["data"].encode(), headersonly=True)["List-Unsubscribe"])
    match = re.search(r"<mailto:([^>]+)>", "".join(header.split()))
    assert match, header
    return match[1]


def _answer(mail: Mapping[str, Any], subject: str, text: str) -> EmailMessage:
    original = BytesParser(policy=default).parsebytes(mail["data"].encode(), headersonly=True)
    answer = EmailMessage()
    answer["From"], answer["To"], answer["Subject"] = mail["rcpt"], str(original["From"]), subject
    answer["In-Reply-To"] = str(original["Message-ID"])
    answer.set_content(text)
    return answer
