"""Owns the post that a mail client makes to unsubscribe (RFC 8058); refuses any address that is not on this machine."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

from mailshot.errors import Refused
from mailshot.web.inbox.letter import local

BODY = "List-Unsubscribe=One-Click"
FORM = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "Mailshot inbox"}
LONGEST = 10.0  # seconds


def post(url: str) -> tuple[int, str]:
    """Post to a List-Unsubscribe address and return status and reason; no redirect is followed. Raises Refused."""
    if not local(url):
        raise Refused("The inbox posts to addresses on this machine only.")
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(str(parts.hostname), parts.port, timeout=LONGEST)
    try:
        connection.request("POST", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), BODY, FORM)
        answer = connection.getresponse()
        return answer.status, answer.reason
    except (OSError, ValueError, http.client.HTTPException) as error:
        return 0, str(error) or type(error).__name__
    finally:
        connection.close()
