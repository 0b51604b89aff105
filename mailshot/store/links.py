"""The links that stood in mails. Only http and https addresses are ever handed out."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from sqlalchemy import select

from mailshot.store import sql
from mailshot.store.engine import Connection
from mailshot.store.tables import Link

LINK = sql.table(Link)
SCHEMES = ("http", "https")


def keep(connection: Connection, urls: Mapping[int, str]) -> None:
    """Store each link under its id, so that a click finds where to go. Known ones are left as they are."""
    # Sorted, so that two workers which store the same links never wait for each other in a circle.
    rows = [{"id": number, "url": url} for number, url in sorted(urls.items())]
    if rows:
        connection.execute(sql.insert(connection, LINK).on_conflict_do_nothing(), rows)


def find(connection: Connection, link_id: int) -> str | None:
    """Return the address of a link, None when it is unknown or a browser must not be sent there."""
    url = connection.scalar(select(LINK.c.url).where(LINK.c.id == link_id))
    return url if url and safe(url) else None


def safe(url: str) -> bool:
    """Tell whether `url` is an absolute http(s) address that fits in one header line."""
    if not url.isascii() or any(ord(character) <= 0x20 or ord(character) == 0x7F for character in url) or "\\" in url:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in SCHEMES and bool(parts.hostname)
    except ValueError:
        return False
