"""Stores feedback (opens, clicks, bounces …) and the links of mails."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import and_, bindparam, func, select, text

from mailshot import metrics
from mailshot.audience.compile import in_parameter
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
from mailshot.store import conversions, dialect, engine
from mailshot.store.column_types import microseconds
from mailshot.store.engine import Connection
from mailshot.store.tables import Consent, Delivery, Feedback, Link, Run

FEEDBACK = dialect.table(Feedback)
DELIVERY = dialect.table(Delivery)
CONSENT = dialect.table(Consent)
RUN = dialect.table(Run)
LINK = dialect.table(Link)
SCHEMES = ("http", "https")
# Built once: they run for every few opens and clicks, and building one takes longer than running it.
_MAIL_STATUSES = (
    select(DELIVERY.c.customer_id, DELIVERY.c.dotted_at, DELIVERY.c.state, DELIVERY.c.content, CONSENT.c.given)
    .outerjoin_from(
        DELIVERY, CONSENT, and_(CONSENT.c.customer_id == DELIVERY.c.customer_id, CONSENT.c.topic == TRACKING)
    )
    .where(DELIVERY.c.run_id == bindparam("run"), in_parameter(DELIVERY.c.customer_id, "customers"))
)
_CLICKS_BETWEEN = (
    select(
        *(FEEDBACK.c[name] for name in ("run_id", "customer_id", "id", "link_id", "at", "by", "detail")),
    )
    .where(in_parameter(FEEDBACK.c.customer_id, "customers"), FEEDBACK.c.kind == FeedbackKind.clicked)
    .where(FEEDBACK.c.at.between(bindparam("since"), bindparam("until")))
    .order_by(FEEDBACK.c.at, FEEDBACK.c.id)
)
# One parameter for all rows, so that the statement is parsed once for any number of them.
_INSERT_EVENTS = {
    "sqlite": text(
        """INSERT INTO feedback (customer_id, run_id, kind, "key", "at", "by", why, link_id, detail)
        SELECT value->>'customer_id', value->>'run_id', value->>'kind', value->>'key', value->>'at', value->>'by',
            value->>'why', value->>'link_id', value->'detail'
        FROM json_each(:rows) WHERE true ON CONFLICT DO NOTHING RETURNING customer_id, "key\""""
    ),
    "postgresql": text(
        """INSERT INTO feedback (customer_id, run_id, kind, "key", "at", "by", why, link_id, detail)
        SELECT customer_id, run_id, kind, "key", timestamptz 'epoch' + "at" * interval '1 microsecond', "by", why,
            link_id, detail
        FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS event(customer_id bigint, run_id bigint, kind text,
            "key" text, "at" bigint, "by" text, why text, link_id bigint, detail jsonb)
        ON CONFLICT DO NOTHING RETURNING customer_id, "key\""""
    ),
}
_LINK_URLS = select(LINK.c.id, LINK.c.url).where(in_parameter(LINK.c.id, "ids"))
#: A mail: the run's id and the customer's.
Mail = tuple[int, int]


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


def record_event(connection: Connection, event: FeedbackEvent) -> bool:
    """Store a feedback event, and return whether it is new."""
    return bool(record_events(connection, [event]))


def record_events(connection: Connection, events: Sequence[FeedbackEvent]) -> list[FeedbackEvent]:
    """Store feedback events in one statement, and return those that are new, in order of customer and key."""
    by_key = {(event.customer_id, event.key): event for event in reversed(events)}
    if not by_key:
        return []
    # Sorted, so that two processes storing the same events do not deadlock.
    rows = json.dumps([_values(event) for _, event in sorted(by_key.items())])
    stored = connection.execute(_INSERT_EVENTS[connection.dialect.name], {"rows": rows}).all()
    new = [by_key[customer_id, key] for customer_id, key in sorted((int(row[0]), str(row[1])) for row in stored)]
    if changed := {event.customer_id for event in new if event.kind in (FeedbackKind.clicked, FeedbackKind.bounced)}:
        conversions.mark(connection, changed)
    if new:
        engine.after_commit(connection).append(partial(_count, new))
    return new


def _count(events: Sequence[FeedbackEvent]) -> None:
    for event in events:
        metrics.FEEDBACK.add(1, event.kind.value, event.by.value)


def _values(event: FeedbackEvent) -> dict[str, Any]:
    values = {name: getattr(event, name) for name in FeedbackEvent.__slots__}
    return {**values, "at": microseconds(event.at)}


def withdraw_event(connection: Connection, customer_id: int, key: str) -> None:
    """Delete an event, before what it was read from is read again."""
    conversions.mark(connection, [customer_id])
    connection.execute(FEEDBACK.delete().where(FEEDBACK.c.customer_id == customer_id, FEEDBACK.c.key == key))


def soft_bounces(connection: Connection, customer_id: int, since: datetime, until: datetime) -> int:
    """Return how many mails to a customer came back soft in a time, after the last one that a person opened in it."""
    c = FEEDBACK.c
    mine = and_(c.customer_id == customer_id, c.at.between(since, until))
    proofs = [kind.value for kind in PROVES_ARRIVAL]
    opened = select(func.max(c.at, type_=c.at.type)).where(mine, c.kind.in_(proofs), c.by == FeedbackClass.human)
    opened_at = connection.scalar(opened)
    soft = and_(c.kind == FeedbackKind.bounced, c.detail["kind"].as_string() == IncomingKind.soft.value)
    bounced = select(func.count(c.run_id.distinct())).where(mine, soft)
    if opened_at is not None:
        bounced = bounced.where(c.at > opened_at)
    return int(connection.execute(bounced).scalar_one())


def mail_statuses(connection: Connection, mails: Collection[Mail]) -> dict[Mail, MailStatus]:
    """Return the state of the mails that opens and clicks belong to. Mails that do not exist are left out."""
    statuses = {}
    for run_id, customer_ids in _by_run(mails).items():
        rows = connection.execute(_MAIL_STATUSES, {"run": run_id, "customers": customer_ids})
        for customer_id, dotted_at, state, content, consented in rows:
            statuses[run_id, customer_id] = MailStatus(dotted_at, state, content, bool(consented))
    return statuses


def _by_run(mails: Iterable[Mail]) -> dict[int, list[int]]:
    by_run: dict[int, list[int]] = {}
    for run_id, customer_id in sorted(mails):
        by_run.setdefault(run_id, []).append(customer_id)
    return by_run


def clicks_between(
    connection: Connection, mails: Collection[Mail], since: datetime, until: datetime
) -> dict[Mail, list[Click]]:
    """Return the clicks in some mails from `since` to `until`, in order of time."""
    customers = sorted({customer_id for _, customer_id in mails})
    rows = connection.execute(_CLICKS_BETWEEN, {"customers": customers, "since": since, "until": until})
    clicks: dict[Mail, list[Click]] = {}
    for row in rows:
        if (row.run_id, row.customer_id) in mails:
            click = Click(row.id, row.link_id, row.at, row.by, row.detail.get("agent", ""))
            clicks.setdefault((row.run_id, row.customer_id), []).append(click)
    return clicks


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


def link_urls(connection: Connection, link_ids: Collection[int]) -> dict[int, str]:
    """Return the URLs of links by id. Links that are unknown or not safe to redirect to are left out."""
    if not link_ids:
        return {}
    rows = connection.execute(_LINK_URLS, {"ids": sorted(link_ids)})
    return {int(row[0]): str(row[1]) for row in rows if is_safe_url(row[1])}


def is_safe_url(url: str) -> bool:
    """Return whether `url` is an absolute http(s) URL that fits in one header line."""
    if not url.isascii() or any(ord(character) <= 0x20 or ord(character) == 0x7F for character in url) or "\\" in url:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in SCHEMES and bool(parts.hostname)
    except ValueError:
        return False
