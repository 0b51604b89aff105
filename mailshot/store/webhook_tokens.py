"""The tokens that a provider signs instead of its events (Mailgun). Each may come with one event only."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlmodel import Field, SQLModel

from mailshot.states import IncomingSource
from mailshot.store import dialect
from mailshot.store.column_types import Instant
from mailshot.store.engine import Connection


class WebhookToken(SQLModel, table=True):
    """A token that a provider signs instead of its event, and that event: it may come with no other."""

    __tablename__ = "webhook_token"
    #: Hex SHA-256 of the provider and the token.
    digest: str = Field(primary_key=True)
    #: Hex SHA-256 of the event.
    event: str
    at: datetime = Field(sa_type=Instant, index=True)


TOKEN = dialect.table(WebhookToken)
#: How long a token is kept. A request with an older one is refused for its age.
TOKEN_RETENTION = timedelta(hours=1)


def use_token(connection: Connection, source: IncomingSource, token: str, event: bytes, at: datetime) -> bool:
    """Note that a token came with an event; return False if it came with another one before."""
    digest = hashlib.sha256(f"{source}:{token}".encode("utf-8", "replace")).hexdigest()
    event_digest = hashlib.sha256(event).hexdigest()
    connection.execute(TOKEN.delete().where(TOKEN.c.at < at - TOKEN_RETENTION))
    row = dialect.dialect_insert(connection, TOKEN).values(digest=digest, event=event_digest, at=at)
    if dialect.changed_one(connection, row.on_conflict_do_nothing(index_elements=[TOKEN.c.digest])):
        return True
    known = connection.execute(select(TOKEN.c.event).where(TOKEN.c.digest == digest)).scalar_one_or_none()
    return known == event_digest
