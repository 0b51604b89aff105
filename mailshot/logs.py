"""Masks e-mail addresses in logs: each is written as a hash with its domain, whichever library logged it.

Servers echo recipients in their replies, libraries log what they send, and an exception carries the value that it
failed on. So every record of the process is masked when it is created, before any handler sees it.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import traceback
from typing import Any

HASH_DIGITS = 8
#: A local part, quoted or not, an @ as it is or as links and bounce addresses spell it, and a domain or an IP address.
_ADDRESS = re.compile(
    r"(?P<local>\"(?:[^\"\\\r\n]|\\.){1,200}\"|[^\s<>()\[\],;:\"@\\]{1,200}?)"
    r"(?:@|%40|=40)(?P<domain>[\w-][\w.-]*|\[[0-9A-Fa-f:.]+\])"
)
#: Without a key that the installation keeps, hashes mean something within one process only.
_key = os.urandom(16)


def use_key(key: bytes) -> None:
    """Hash addresses as the database does: what a log shows is the beginning of `customer.address_hash`."""
    global _key
    _key = key


def masked(text: str) -> str:
    """Return a text with every e-mail address in it as `<hash>@<domain>`."""
    return _ADDRESS.sub(_hashed, text) if "@" in text or "40" in text else text


def mask_logs() -> None:
    """Mask the records of all loggers of this process from now on, and leave out what logs whole rows or mails."""
    logging.setLogRecordFactory(_Record)
    for name in ("sqlalchemy", "mail.log"):
        logging.getLogger(name).setLevel(logging.WARNING)


class _Record(logging.LogRecord):
    """A record whose message and traceback are masked."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        if self.exc_info and self.exc_info[0]:
            # What is set here is what formatters print.
            self.exc_text = masked("".join(traceback.format_exception(*self.exc_info)).rstrip())

    def getMessage(self) -> str:
        return masked(super().getMessage())


def _hashed(match: re.Match[str]) -> str:
    local = match["local"].lstrip("'")
    digest = hmac.digest(_key, f"{local}@{match['domain']}".lower().encode("utf-8", "replace"), hashlib.sha256)
    return f"<{digest.hex()[:HASH_DIGITS]}>@{match['domain']}"
