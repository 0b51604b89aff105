"""Writes what mail servers and people send back about a mail, as the sink received it."""

from __future__ import annotations

from collections.abc import Mapping
from email.message import EmailMessage, Message
from email.parser import BytesParser
from email.policy import SMTP, default
from email.utils import parseaddr
from typing import Any

from mailshot.cli import demo_mail_servers

STATUSES = demo_mail_servers.STATUSES


def bounce(mail: Mapping[str, Any], kind: str) -> bytes:
    """Return a delivery status notification about a mail of the sink, for one kind of `STATUSES`."""
    return demo_mail_servers.bounce(mail["data"], mail["rcpt"], kind)


def complaint(mail: Mapping[str, Any]) -> bytes:
    """Return a feedback report of a mailbox provider."""
    return demo_mail_servers.complaint(mail["data"])


def out_of_office(mail: Mapping[str, Any]) -> bytes:
    """Return an automatic answer (RFC 3834)."""
    answer = _answer(mail, "Out of office: Hello", "I am away until Monday.\n")
    answer["Auto-Submitted"] = "auto-replied"
    return answer.as_bytes(policy=SMTP)


def reply(mail: Mapping[str, Any], text: str) -> bytes:
    """Return what a person answers."""
    return _answer(mail, "Re: Hello", text).as_bytes(policy=SMTP)


def unsubscribe(mail: Mapping[str, Any]) -> bytes:
    """Return what a mail program sends for List-Unsubscribe."""
    return demo_mail_servers.unsubscribe(mail["data"], mail["rcpt"])


def reply_address(mail: Mapping[str, Any]) -> str:
    """Return the address to which a mail program answers: Reply-To, or else From."""
    header = _header(mail)
    return parseaddr(str(header["Reply-To"] or header["From"]))[1]


def from_address(mail: Mapping[str, Any]) -> str:
    """Return the address that the mail is from."""
    return str(_header(mail)["From"])


def leave_address(mail: Mapping[str, Any]) -> str:
    """Return the address in the mail's List-Unsubscribe."""
    address = demo_mail_servers.leave_address(mail["data"])
    assert address
    return address


def _header(mail: Mapping[str, Any]) -> Message:
    return BytesParser(policy=default).parsebytes(mail["data"].encode(), headersonly=True)


def _answer(mail: Mapping[str, Any], subject: str, text: str) -> EmailMessage:
    original = _header(mail)
    answer = EmailMessage()
    answer["From"], answer["Subject"] = mail["rcpt"], subject
    answer["To"] = str(original["Reply-To"] or original["From"])
    answer["In-Reply-To"] = str(original["Message-ID"])
    answer.set_content(text)
    return answer
