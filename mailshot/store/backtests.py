"""The queries of a backtest: whom a rule would have selected as of a past date, and what they bought afterwards.

Everything is read by single selects, without temporary tables, so that no sender ever waits for a backtest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Select, String, and_, case, cast, distinct, func, null, select, type_coerce

from mailshot.audience.compile import Compiler, existed, product_clause, stands
from mailshot.audience.compile.sources import not_erased
from mailshot.audience.nodes import Condition
from mailshot.facts.product_filters import ProductFilter
from mailshot.states import REACHED, FeedbackKind, Reason, RunState
from mailshot.store import audiences, dialect, inboxes, tables
from mailshot.store.audiences import SCHEMA
from mailshot.store.column_types import SCALE
from mailshot.store.engine import Connection
from mailshot.store.plan_gates import PlanSpec
from mailshot.store.plans import DELIVERY, RUN, represents_inbox, select_decisions
from mailshot.store.reports import FEEDBACK

#: Rows fetched at a time.
STREAMED = {"yield_per": 10_000}
TRAIT = dialect.table(tables.Trait)


@dataclass(frozen=True, slots=True)
class Spending:
    """Selects the purchases of `products` from `start` to before `end` that were not returned, as known today."""

    products: ProductFilter
    start: datetime
    end: datetime


@dataclass(slots=True)
class BacktestGroup:
    """A group of customers, and what they bought."""

    customers: int = 0
    buyers: int = 0
    spent: Decimal = Decimal(0)
    #: Sum of the squares of what each spent, for the interval of the mean.
    squares: float = 0.0

    def add(self, spent: int) -> None:
        """Count one more buyer, who spent `spent` ten-thousandths."""
        exact = Decimal(spent).scaleb(-SCALE)
        self.buyers, self.spent, self.squares = self.buyers + 1, self.spent + exact, self.squares + float(exact) ** 2


@dataclass(slots=True)
class Selection:
    """An audience as of a past date, and all other customers."""

    #: Customers of the audience by (content, reason); both None for an audience without a campaign.
    parts: dict[tuple[str | None, str | None], int] = field(default_factory=dict)
    inside: BacktestGroup = field(default_factory=BacktestGroup)
    outside: BacktestGroup = field(default_factory=BacktestGroup)
    #: Who is in the audience: bit n stands for the customer with id n.
    members: int = 0


class _Bitmap:
    """A set of customer ids, one bit each: a million take 125 kilobytes."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, number: int) -> None:
        if number // 8 >= len(self._bytes):
            self._bytes.extend(bytes(number // 8 + 1))
        self._bytes[number // 8] |= 1 << number % 8

    def __contains__(self, number: int) -> bool:
        return number // 8 < len(self._bytes) and bool(self._bytes[number // 8] >> number % 8 & 1)

    def __int__(self) -> int:
        return int.from_bytes(self._bytes, "little")


@dataclass(frozen=True, slots=True)
class DataRange:
    """How far back the data reaches, and what is unknown about customers."""

    #: Of the first and last purchase; None without purchases.
    first: datetime | None
    last: datetime | None
    #: Not counting erased ones.
    customers: int
    #: Customers without a known date of joining.
    without_joining: int
    erased: int


def data_range(connection: Connection) -> DataRange:
    """Return how far back the data reaches."""
    purchase, customer = SCHEMA.purchase.c, SCHEMA.customer.c
    first, last = connection.execute(select(func.min(purchase.at), func.max(purchase.at))).one()
    erased = case((audiences.not_erased(), 0), else_=1)
    unknown = case((and_(customer.joined_at.is_(None), audiences.not_erased()), 1), else_=0)
    row = connection.execute(select(func.count(), func.sum(unknown), func.sum(erased)).select_from(SCHEMA.customer))
    number, without, gone = row.one()
    return DataRange(first, last, int(number) - int(gone or 0), int(without or 0), int(gone or 0))


def inferred(connection: Connection, names: Collection[str]) -> dict[str, datetime]:
    """Return when each of these traits was last inferred; traits that never were are missing."""
    newest = select(TRAIT.c.name, func.max(TRAIT.c.as_of)).where(TRAIT.c.name.in_(names)).group_by(TRAIT.c.name)
    return {str(row[0]): row[1] for row in connection.execute(newest)}


def total_campaign(connection: Connection, compiled: Compiler, question: PlanSpec, spending: Spending) -> Selection:
    """Total a campaign's audience by content and reason, and all other customers, with what they bought."""
    return _seen(connection, compiled, select_decisions(compiled, question), spending)


def total_audience(connection: Connection, compiled: Compiler, condition: Condition, spending: Spending) -> Selection:
    """Total an audience, and all other customers, with what they bought."""
    nothing = cast(null(), String)
    members = audiences.existing_members(compiled, condition).add_columns(nothing, nothing)
    return _seen(connection, compiled, members, spending)


def imported_campaigns(connection: Connection) -> list[Any]:
    """Return the campaigns that another system sent, oldest first."""
    chosen = select(RUN.c.id, RUN.c.campaign, RUN.c.as_of, RUN.c.finished_at).where(RUN.c.state == RunState.past)
    return list(connection.execute(chosen.order_by(RUN.c.as_of, RUN.c.id)))


def responses(
    connection: Connection, compiled: Compiler, condition: Condition, run_id: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Count (recipients, responders) of a run, inside a rule's audience and outside of it."""
    converted = select(FEEDBACK.c.customer_id).where(
        FEEDBACK.c.run_id == run_id, FEEDBACK.c.kind == FeedbackKind.converted
    )
    inside = DELIVERY.c.customer_id.in_(compiled.select(condition))
    joined = DELIVERY.join(SCHEMA.customer, SCHEMA.customer.c.id == DELIVERY.c.customer_id)
    mine = select(inside, DELIVERY.c.customer_id.in_(converted)).select_from(joined)
    mine = mine.where(DELIVERY.c.run_id == run_id, DELIVERY.c.state.in_(REACHED), audiences.not_erased())
    counted: Counter[tuple[bool, bool]] = Counter()
    for belongs, answered in connection.execute(mine, execution_options=STREAMED):
        counted[bool(belongs), bool(answered)] += 1
    sides = [(counted[side, True] + counted[side, False], counted[side, True]) for side in (True, False)]
    return sides[0], sides[1]


def responders(connection: Connection, run_ids: Collection[int]) -> tuple[int, int]:
    """Count the distinct customers who received any of these runs, and who responded to any."""
    got = select(func.count(distinct(DELIVERY.c.customer_id))).where(
        DELIVERY.c.run_id.in_(run_ids), DELIVERY.c.state.in_(REACHED), not_erased(SCHEMA, DELIVERY.c.customer_id)
    )
    answered = select(func.count(distinct(FEEDBACK.c.customer_id))).where(
        FEEDBACK.c.run_id.in_(run_ids),
        FEEDBACK.c.kind == FeedbackKind.converted,
        not_erased(SCHEMA, FEEDBACK.c.customer_id),
    )
    return int(connection.scalar(got) or 0), int(connection.scalar(answered) or 0)


def _seen(connection: Connection, compiled: Compiler, members: Select[Any], spending: Spending) -> Selection:
    """Add up row by row: first the members, then the buyers. Neither database joins the two in linear time."""
    customer = SCHEMA.customer
    here = [existed(SCHEMA, compiled.before)]
    seen, bits = Selection(), _Bitmap()
    inboxes = _Inboxes(connection)
    for number, content, reason in connection.execute(members, execution_options=STREAMED):
        reason = inboxes.reason(number, content, reason)
        seen.parts[content, reason] = seen.parts.get((content, reason), 0) + 1
        bits.add(number)
    for number, spent in connection.execute(_bought(spending, here), execution_options=STREAMED):
        (seen.inside if number in bits else seen.outside).add(spent)
    everyone = connection.scalar(select(func.count()).select_from(customer).where(*here)) or 0
    seen.inside.customers = sum(seen.parts.values())
    seen.outside.customers = int(everyone) - seen.inside.customers
    seen.members = int(bits)
    return seen


class _Inboxes:
    """Gives the mail to one customer of each address, as a plan does; members of an audience have no content."""

    def __init__(self, connection: Connection) -> None:
        inbox = inboxes.shared()
        pairs = select(inbox.c.id, func.min(inbox.c.mate)).group_by(inbox.c.id)
        self._of: dict[int, int] = {row[0]: row[1] for row in connection.execute(pairs)}
        self._taken: set[int] = set()

    def reason(self, customer_id: int, content: str | None, reason: str | None) -> str | None:
        inbox = self._of.get(customer_id)
        if inbox is None or not represents_inbox(content, reason):
            return reason
        if inbox in self._taken:
            return str(Reason.same_address)
        self._taken.add(inbox)
        return reason


def _bought(spending: Spending, here: Sequence[Any]) -> Select[Any]:
    purchase = SCHEMA.purchase.c
    total = cast(func.sum(type_coerce(purchase.amount, BigInteger)), BigInteger)
    lines = select(purchase.customer_id, total.label("spent")).where(
        purchase.at >= spending.start, purchase.at < spending.end, stands(purchase.returned_at, None)
    )
    if spending.products.filters:
        meant = select(SCHEMA.product.c.id).where(product_clause(SCHEMA.product, spending.products))
        lines = lines.where(purchase.product_id.in_(meant))
    bought = lines.group_by(purchase.customer_id).cte("bought").prefix_with("MATERIALIZED")
    customer = SCHEMA.customer
    joined = bought.join(customer, customer.c.id == bought.c.customer_id)
    return select(bought.c.customer_id, bought.c.spent).select_from(joined).where(*here)
