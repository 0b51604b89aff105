"""Stores feedback (opens, clicks, bounces …) and the links of mails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import and_, select

from mailshot.profile.topics import TRACKING
from mailshot.states import (
    NOT_ACCEPTED,
    NOT_MACHINES,
    PROVES_ARRIVAL,
    UNSENT,
    FeedbackClass,
    FeedbackKind,
    IncomingKind,
)
from mailshot.store import conversions, dialect
from mailshot.store.engine import Connection
from mailshot.store.tables import Consent, Delivery, Feedback, Link, Run

FEEDBACK = dialect.table(Feedback)
DELIVERY = dialect.table(Delivery)
CONSENT = dialect.table(Consent)
RUN = dialect.table(Run)
LINK = dialect.table(Link)
SCHEMES = ("http", "https")


@dataclass(frozen=True, slots=True)
class FeedbackEvent:
    """One feedback event."""

    customer_id: int
    kind: FeedbackKind
    #: Unique per customer: the same event received twice is one row.
    key: str
    at: datetime
    run_id: int | None = None
    by: FeedbackClass = FeedbackClass.human
    why: str = ""
    link_id: int | None = None
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MailStatus:
    """State of the mail that an open or click belongs to."""

    #: When its final dot was sent; None before that.
    dotted_at: datetime | None
    state: str
    #: The name of its content; None for a customer without a mail.
    content: str | None
    #: Whether the customer consents to tracking.
    tracked: bool

    @property
    def is_accepted(self) -> bool:
        """Whether the server has accepted the mail, or may have: a mail that waits may have been sent before."""
        return self.state not in NOT_ACCEPTED and (self.dotted_at is not None or self.state not in UNSENT)


@dataclass(frozen=True, slots=True)
class Click:
    """A click in a mail. `link_id` is None for its hidden link."""

    id: int
    link_id: int | None
    at: datetime
    by: str = FeedbackClass.human
    #: The User-Agent header, "" without one.
    agent: str = ""


def record_event(connection: Connection, piece: FeedbackEvent) -> bool:
    """Store a feedback event, and return whether it is new."""
    values = {"kind": piece.kind.value, "by": piece.by.value}
    row = dialect.dialect_insert(connection, FEEDBACK).values(**{**asdict(piece), **values})
    new = dialect.changed_one(connection, row.on_conflict_do_nothing())
    if new and piece.kind in (FeedbackKind.clicked, FeedbackKind.bounced):
        conversions.mark(connection, [piece.customer_id])
    return new


def withdraw_event(connection: Connection, customer_id: int, key: str) -> None:
    """Delete an event, before what it was read from is read again."""
    conversions.mark(connection, [customer_id])
    connection.execute(FEEDBACK.delete().where(FEEDBACK.c.customer_id == customer_id, FEEDBACK.c.key == key))


def soft_bounces(connection: Connection, customer_id: int, since: datetime, until: datetime) -> int:
    """Return how many mails to a customer came back soft in a time, after the last one that a person opened in it."""
    c = FEEDBACK.c
    kinds = [FeedbackKind.bounced.value, *(kind.value for kind in PROVES_ARRIVAL)]
    rows = connection.execute(
        select(c.kind, c.by, c.run_id, c.detail)
        .where(c.customer_id == customer_id, c.kind.in_(kinds), c.at.between(since, until))
        .order_by(c.at, c.id)
    )
    bounced: set[int] = set()
    for row in rows:
        if row.kind != FeedbackKind.bounced:
            bounced = set() if row.by == FeedbackClass.human else bounced
        elif row.detail.get("kind") == IncomingKind.soft:
            bounced.add(row.run_id)
    return len(bounced)


def mail_status(connection: Connection, run_id: int, customer_id: int) -> MailStatus | None:
    """Return the state of the mail that an open or click belongs to, or None if there is no such mail."""
    d, c = DELIVERY.c, CONSENT.c
    tracking = and_(c.customer_id == d.customer_id, c.topic == TRACKING)
    row = connection.execute(
        select(d.dotted_at, d.state, d.content, c.given)
        .select_from(DELIVERY.outerjoin(CONSENT, tracking))
        .where(d.run_id == run_id, d.customer_id == customer_id)
    ).first()
    return MailStatus(row.dotted_at, row.state, row.content, bool(row.given)) if row else None


def clicks_around(connection: Connection, run_id: int, customer_id: int, at: datetime, reach: timedelta) -> list[Click]:
    """Return the clicks in one mail within `reach` before or after `at`, in order of time."""
    c = FEEDBACK.c
    rows = connection.execute(
        select(c.id, c.link_id, c.at, c.by, c.detail)
        .where(c.customer_id == customer_id, c.run_id == run_id, c.kind == FeedbackKind.clicked)
        .where(c.at.between(at - reach, at + reach))
        .order_by(c.at, c.id)
    )
    return [Click(row.id, row.link_id, row.at, row.by, row.detail.get("agent", "")) for row in rows]


def reclassify_as_scanner(connection: Connection, ids: list[int], why: str) -> int:
    """Reclassify human or unknown clicks as a scanner's, and return how many."""
    c = FEEDBACK.c
    change = FEEDBACK.update().where(c.id.in_(ids), c.by.in_(NOT_MACHINES))
    conversions.mark_of_feedback(connection, ids)
    return connection.execute(change.values(by=FeedbackClass.scanner, why=why)).rowcount


def topic_of(connection: Connection, run_id: int) -> str | None:
    """Return the topic of a run, or None if there is no such run."""
    topic: str | None = connection.scalar(select(RUN.c.topic).where(RUN.c.id == run_id))
    return topic


def store_links(connection: Connection, urls: Mapping[int, str]) -> None:
    """Store the URL of each link by its id, for the redirect of a click. Known links stay as they are."""
    # Sorted, so that two workers storing the same links do not deadlock.
    rows = [{"id": number, "url": url} for number, url in sorted(urls.items())]
    if rows:
        connection.execute(dialect.dialect_insert(connection, LINK).on_conflict_do_nothing(), rows)


def link_url(connection: Connection, link_id: int) -> str | None:
    """Return the URL of a link, or None if it is unknown or not safe to redirect to."""
    url = connection.scalar(select(LINK.c.url).where(LINK.c.id == link_id))
    return url if url and is_safe_url(url) else None


def is_safe_url(url: str) -> bool:
    """Return whether `url` is an absolute http(s) URL that fits in one header line."""
    if not url.isascii() or any(ord(character) <= 0x20 or ord(character) == 0x7F for character in url) or "\\" in url:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in SCHEMES and bool(parts.hostname)
    except ValueError:
        return False
