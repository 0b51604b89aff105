"""Plans: one statement decides what each customer gets, or why they get no mail, and stores it as rows.

Previews, launches and explanations read these rows, so that they never disagree.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Label,
    Select,
    Subquery,
    case,
    delete,
    func,
    insert,
    literal,
    select,
    true,
    update,
)

from mailshot.audience.compile import Compiler, existed, product_clause
from mailshot.facts.product_filters import ProductFilter
from mailshot.states import Reason
from mailshot.store import dialect, eligibility, eligibility_gates, inboxes, tables
from mailshot.store.audiences import SCHEMA
from mailshot.store.engine import Connection
from mailshot.store.plan_gates import PlanGates, PlanSpec

PLAN, ROW, RUN = dialect.table(tables.Plan), dialect.table(tables.PlanRow), dialect.table(tables.Run)
DELIVERY = dialect.table(tables.Delivery)


@dataclass(frozen=True, slots=True)
class PlanHead:
    """A plan without its rows."""

    id: str
    campaign: str
    #: Digest of all parts (see `campaign.dependencies`): equal while rules and templates mean the same.
    digest: str
    #: "Today" in the conditions of its rules.
    as_of: datetime
    made_at: datetime
    #: What keeps the plan from being launched.
    errors: tuple[str, ...] = ()
    #: The digest of each part by its name; empty in plans of earlier versions.
    parts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlanDecision:
    """What a plan decided about one customer: a mail with `content`, or none because of `reason`."""

    customer_id: int
    #: Customers who are left out for another reason have a content, too.
    content: str | None
    reason: Reason | None
    #: Pairs of product id and how often the customer bought it; empty without offers.
    offers: list[list[int]]


def write_decisions(connection: Connection, plan_id: str, compiled: Compiler, question: PlanSpec) -> None:
    """Write one row for each customer of the audience: the content, or the reason for no mail."""
    decided = select_decisions(compiled, question).add_columns(literal(plan_id))
    eligibility.lock_caps(connection)
    connection.execute(delete(ROW).where(ROW.c.plan_id == plan_id))
    connection.execute(insert(ROW).from_select(["customer_id", "content", "reason", "plan_id"], decided))


def select_decisions(compiled: Compiler, question: PlanSpec) -> Select[Any]:
    """Return the select of (id, content, reason) of each customer of the audience.

    When the compiler has a moment `before`, consents, suppressions and earlier mails count as they were then.
    """
    customer = SCHEMA.customer.c
    chosen = (
        select(customer.id, customer.email, customer.address_hash, customer.lot, _content(compiled, question))
        .where(compiled.clause(question.audience), existed(SCHEMA, compiled.before))
        .where(*compiled.scope.in_range(customer.id))
        .cte("chosen")
        # Otherwise SQLite evaluates the content again for each gate that uses it.
        .prefix_with("MATERIALIZED")
    )
    inbox = inboxes.shared()
    candidates = PlanGates(chosen, compiled, question, inbox, inboxes.mailed(inbox))
    return select(chosen.c.id, chosen.c.content, eligibility_gates.plan_reason(candidates).label("reason"))


def represents_inbox(content: str | None, reason: str | None) -> bool:
    """Return whether a customer represents the inbox: is mailed, or held out to be compared with those who are."""
    return content is not None and reason in (None, Reason.holdout)


def _content(compiled: Compiler, question: PlanSpec) -> Label[str]:
    whens = [(compiled.clause(item.when) if item.when else true(), literal(item.name)) for item in question.choices]
    return case(*whens, else_=None).label("content")


def overlap(connection: Connection, first: ProductFilter, second: ProductFilter) -> bool:
    """Return whether any product of the catalogue matches both filters."""
    product = SCHEMA.product
    both = select(product.c.id).where(product_clause(product, first), product_clause(product, second)).limit(1)
    return connection.execute(both).first() is not None


def replace_plan(connection: Connection, plan: PlanHead) -> None:
    """Store a plan's head in place of one with the same id, and delete the rows of the campaign's older plans."""
    connection.execute(delete(PLAN).where(PLAN.c.id == plan.id))
    summary = {"errors": list(plan.errors), "parts": dict(plan.parts)}
    head = {"id": plan.id, "campaign": plan.campaign, "digest": plan.digest, "as_of": plan.as_of}
    connection.execute(insert(PLAN), {**head, "made_at": plan.made_at, "summary": summary})
    stale = select(PLAN.c.id).where(PLAN.c.campaign == plan.campaign, PLAN.c.id.not_in(_kept(plan.campaign)))
    connection.execute(delete(ROW).where(ROW.c.plan_id.in_(stale.where(PLAN.c.id != plan.id))))


def has_rows(connection: Connection, plan: PlanHead) -> bool:
    """Return whether the rows of a plan are still there."""
    return plan.id in connection.scalars(_kept(plan.campaign)).all()


def _kept(campaign: str) -> Select[Any]:
    return select(PLAN.c.id).where(PLAN.c.campaign == campaign).order_by(PLAN.c.made_at.desc()).limit(2)


def latest_plan(connection: Connection, campaign: str) -> PlanHead | None:
    """Return the newest plan of a campaign."""
    newest = select(PLAN).where(PLAN.c.campaign == campaign)
    return _head(connection, newest.order_by(PLAN.c.made_at.desc()).limit(1))


def find_plan(connection: Connection, plan_id: str) -> PlanHead | None:
    """Return one plan by id."""
    return _head(connection, select(PLAN).where(PLAN.c.id == plan_id))


def _head(connection: Connection, plan: Select[Any]) -> PlanHead | None:
    row = connection.execute(plan).first()
    if row is None:
        return None
    errors, parts = row.summary.get("errors", ()), row.summary.get("parts", {})
    return PlanHead(row.id, row.campaign, row.digest, row.as_of, row.made_at, tuple(errors), parts)


def count_decisions(connection: Connection, plan_id: str) -> list[tuple[str | None, str | None, int]]:
    """Count a plan's customers by (content, reason)."""
    grouped = select(ROW.c.content, ROW.c.reason, func.count()).where(ROW.c.plan_id == plan_id)
    return [(row[0], row[1], row[2]) for row in connection.execute(grouped.group_by(ROW.c.content, ROW.c.reason))]


@dataclass(frozen=True, slots=True)
class LanguageCount:
    """The customers with one language, as it is stored, who get one content."""

    content: str
    language: str | None
    customers: int
    #: The ids of two of them, or of the only one twice.
    samples: tuple[int, int]


def count_languages(connection: Connection, plan_id: str, contents: Collection[str]) -> list[LanguageCount]:
    """Count the customers of a plan who get one of these contents by their language, the most frequent first."""
    customer = SCHEMA.customer
    language = customer.c.language
    found = (
        select(ROW.c.content, language, func.count(), func.min(ROW.c.customer_id), func.max(ROW.c.customer_id))
        .select_from(ROW.join(customer, customer.c.id == ROW.c.customer_id))
        .where(ROW.c.plan_id == plan_id, ROW.c.reason.is_(None), ROW.c.content.in_(contents))
        .group_by(ROW.c.content, language)
    )
    counts = [LanguageCount(row[0], row[1], row[2], (row[3], row[4])) for row in connection.execute(found)]
    return sorted(counts, key=lambda count: (-count.customers, count.language or ""))


def mails(connection: Connection, plan_id: str) -> int:
    """Count the customers of a plan who get a mail."""
    return sum(number for _, reason, number in count_decisions(connection, plan_id) if reason is None)


def count_changes(connection: Connection, plan_id: str, before: str) -> dict[str, int]:
    """Count the mailed customers who enter, leave and change content between two plans."""
    old, new = ROW.alias("old"), ROW.alias("new")

    def mailed(row: FromClause, plan: str) -> Subquery:
        return select(row.c.customer_id, row.c.content).where(row.c.plan_id == plan, row.c.reason.is_(None)).subquery()

    then, today = mailed(old, before), mailed(new, plan_id)
    same = then.c.customer_id == today.c.customer_id
    pairs = today.join(then, same)

    def count(source: FromClause, *where: ColumnElement[bool]) -> int:
        return int(connection.execute(select(func.count()).select_from(source).where(*where)).scalar_one())

    return {
        "entered": count(today.outerjoin(then, same), then.c.customer_id.is_(None)),
        "left": count(then.outerjoin(today, same), today.c.customer_id.is_(None)),
        "changed": count(pairs, today.c.content != then.c.content),
    }


def row(connection: Connection, plan_id: str, customer_id: int) -> PlanDecision | None:
    """Return what a plan decided about one customer."""
    decisions = _decisions(connection, select(ROW).where(ROW.c.plan_id == plan_id, ROW.c.customer_id == customer_id))
    return decisions[0] if decisions else None


def samples(connection: Connection, plan_id: str, content: str, most: int) -> list[PlanDecision]:
    """Return the decisions about up to `most` customers who get `content`."""
    mailed = select(ROW).where(ROW.c.plan_id == plan_id, ROW.c.content == content, ROW.c.reason.is_(None))
    return _decisions(connection, mailed.order_by(ROW.c.customer_id).limit(most))


def _decisions(connection: Connection, rows: Select[Any]) -> list[PlanDecision]:
    return [
        PlanDecision(row.customer_id, row.content, Reason.of(row.reason) if row.reason else None, row.offers or [])
        for row in connection.execute(rows)
    ]


def set_aside(connection: Connection, plan_id: str) -> str:
    """Move a plan's rows to an id that no plan has, and return that id. Call `drop_aside` in the same transaction."""
    aside = f"{plan_id} before"
    # As `write_decisions` does: two processes that plan the same campaign must not overwrite each other's rows.
    eligibility.lock_caps(connection)
    connection.execute(update(ROW).where(ROW.c.plan_id == plan_id).values(plan_id=aside))
    return aside


def drop_aside(connection: Connection, aside: str) -> None:
    """Delete the rows that `set_aside` moved."""
    connection.execute(delete(ROW).where(ROW.c.plan_id == aside))
