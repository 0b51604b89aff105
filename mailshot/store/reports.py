"""The numbers behind reports: mails by state, and customers by what they did.

A mail that went out is always counted. Erased customers are not: their purchases were deleted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from operator import itemgetter

from sqlalchemy import distinct, func, or_, select

from mailshot.audience.compile.sources import not_erased
from mailshot.profile.goals import Goal
from mailshot.states import MACHINES, REACHED, DeliveryState, FeedbackClass, FeedbackKind
from mailshot.store import conversions, dialect, tables
from mailshot.store.audiences import SCHEMA
from mailshot.store.conversions import EVENT, PURCHASE
from mailshot.store.engine import Connection
from mailshot.store.plans import DELIVERY

FEEDBACK = dialect.table(tables.Feedback)
_KNOWN = not_erased(SCHEMA, FEEDBACK.c.customer_id)


@dataclass(frozen=True, slots=True)
class Bought:
    """A group of customers: how many there are, how many of them bought, and how much these spent."""

    customers: int
    buyers: int
    spent: Decimal


def count_by_state(connection: Connection) -> dict[int, dict[str, int]]:
    """Count the deliveries of every run by state."""
    grouped = select(DELIVERY.c.run_id, DELIVERY.c.state, func.count()).group_by(DELIVERY.c.run_id, DELIVERY.c.state)
    counts: dict[int, dict[str, int]] = {}
    for run_id, state, number in connection.execute(grouped):
        counts.setdefault(run_id, {})[state] = number
    return counts


def count_by_content(connection: Connection, run_id: int) -> dict[str, int]:
    """Count the mails of a run that went out, by content."""
    rows = select(DELIVERY.c.content, func.count()).where(DELIVERY.c.run_id == run_id, DELIVERY.c.state.in_(REACHED))
    return {str(row[0]): int(row[1]) for row in connection.execute(rows.group_by(DELIVERY.c.content))}


def count_by_reason(connection: Connection, run_id: int) -> dict[str, int]:
    """Count the customers of a run who got no mail, by reason."""
    rows = select(DELIVERY.c.reason, func.count()).where(DELIVERY.c.run_id == run_id, DELIVERY.c.reason.is_not(None))
    return {str(row[0]): int(row[1]) for row in connection.execute(rows.group_by(DELIVERY.c.reason))}


def feedback(connection: Connection, today: datetime) -> dict[int, dict[tuple[str, str], int]]:
    """Count unique customers by run, then by (kind, class).

    Conversions after `today` belong to orders with a future date; they do not count yet.
    """
    columns = (FEEDBACK.c.run_id, FEEDBACK.c.kind, FEEDBACK.c.by)
    known = or_(FEEDBACK.c.kind != FeedbackKind.converted, FEEDBACK.c.at <= today)
    people = func.count(distinct(FEEDBACK.c.customer_id))
    grouped = select(*columns, people).where(FEEDBACK.c.run_id.is_not(None), known, _KNOWN)
    counts: dict[int, dict[tuple[str, str], int]] = {}
    for run_id, kind, by, number in connection.execute(grouped.group_by(*columns)):
        counts.setdefault(run_id, {})[kind, by] = number
    return counts


def count_seen_by_machines(connection: Connection) -> dict[int, int]:
    """Count by run the customers, each once, in whose mails a proxy or scanner opened or clicked anything."""
    noticed = (FeedbackKind.opened, FeedbackKind.clicked)
    rows = select(FEEDBACK.c.run_id, func.count(distinct(FEEDBACK.c.customer_id))).where(
        FEEDBACK.c.run_id.is_not(None), FEEDBACK.c.kind.in_(noticed), FEEDBACK.c.by.in_(MACHINES), _KNOWN
    )
    return {int(run_id): int(number) for run_id, number in connection.execute(rows.group_by(FEEDBACK.c.run_id))}


def links(connection: Connection, run_id: int, most: int) -> list[tuple[str, int]]:
    """Return the links of a run that most people clicked, with how many did."""
    link = dialect.table(tables.Link)
    joined = FEEDBACK.join(link, link.c.id == FEEDBACK.c.link_id)
    people = func.count(distinct(FEEDBACK.c.customer_id))
    rows = (
        select(link.c.url, people)
        .select_from(joined)
        .where(FEEDBACK.c.run_id == run_id, FEEDBACK.c.by == FeedbackClass.human, _KNOWN)
        .group_by(link.c.url)
        .order_by(people.desc(), link.c.url)
    )
    return [(str(row[0]), int(row[1])) for row in connection.execute(rows.limit(most))]


@dataclass(frozen=True, slots=True)
class MailedPerson:
    """One customer of a run: what became of the mail, and what came back."""

    customer: str
    content: str
    #: `states.DeliveryState`, and the reason of one that was left out.
    state: str
    reason: str
    #: What came back: (kind, who or what caused it, why), once each.
    feedback: list[tuple[str, str, str]]


def people(connection: Connection, run_id: int) -> Iterator[MailedPerson]:
    """Give the customers of a run, without those whose data was erased, in the order of their numbers."""
    customer = SCHEMA.customer
    mine = select(customer.c.key, DELIVERY.c.customer_id, DELIVERY.c.content, DELIVERY.c.state, DELIVERY.c.reason)
    mine = mine.join(customer, customer.c.id == DELIVERY.c.customer_id).where(
        DELIVERY.c.run_id == run_id, not_erased(SCHEMA, DELIVERY.c.customer_id)
    )
    f = FEEDBACK.c
    events = select(f.customer_id, f.kind, f.by, f.why).where(f.run_id == run_id, _KNOWN).distinct()
    rows = connection.execute(events.order_by(f.customer_id, f.kind, f.by, f.why).execution_options(yield_per=1_000))
    came_back = {customer_id: list(some) for customer_id, some in groupby(rows, key=itemgetter(0))}
    for row in connection.execute(mine.order_by(DELIVERY.c.customer_id).execution_options(yield_per=1_000)):
        feedback = [(event.kind, event.by, event.why) for event in came_back.get(row.customer_id, ())]
        yield MailedPerson(row.key, row.content or "", row.state, row.reason or "", feedback)


def reached(connection: Connection, run_id: int, holdout: bool, goal: Goal, start: datetime, today: datetime) -> Bought:
    """Total what the mailed, or the held-out, customers of a run did for a goal from `start` to `today`."""
    group = (DeliveryState.holdout,) if holdout else REACHED
    mine = select(DELIVERY.c.customer_id).where(
        DELIVERY.c.run_id == run_id, DELIVERY.c.state.in_(group), not_erased(SCHEMA, DELIVERY.c.customer_id)
    )
    what = (PURCHASE if goal.event is None else EVENT).c
    counted = select(func.count(distinct(what.customer_id)), func.sum(what.amount, type_=what.amount.type)).where(
        what.customer_id.in_(mine),
        what.at >= start,
        what.at < goal.end(start),
        what.at <= today,
        *conversions.goal_clauses(goal),
    )
    row = connection.execute(counted).one()
    size = connection.scalar(select(func.count()).select_from(mine.subquery())) or 0
    return Bought(int(size), int(row[0]), row[1] or Decimal(0))


def latest_activity(connection: Connection, goal: Goal, today: datetime) -> datetime | None:
    """Return the time of the latest purchase up to `today`, or of the latest event that the goal counts."""
    moment = select(func.max(PURCHASE.c.at)).where(PURCHASE.c.at <= today)
    if goal.event is not None:
        moment = select(func.max(EVENT.c.at)).where(EVENT.c.name == goal.event, EVENT.c.at <= today)
    latest: datetime | None = connection.scalar(moment)
    return latest
