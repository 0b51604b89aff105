"""The shape of every row. `customer_id` leads the key of every large table, so that PostgreSQL can be sharded by it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Index, PrimaryKeyConstraint, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from mailshot.store.column_types import NAMING_CONVENTION, Exact, Instant, Json, RowId, now

SQLModel.metadata.naming_convention = NAMING_CONVENTION
FIRST_PART = 1_000_001
_LINE = ["at", "quantity", "amount", "channel", "returned_at"]
_SUMS = ["lines", "items", "amount", "gross", "returned_at"]
_WHOSE, _NOT_BOUGHT = ["customer_id", "order_key"], text("quantity <= 0")


class Installation(SQLModel, table=True):
    """One row: what must never change once customers are in."""

    id: int = Field(default=1, primary_key=True)
    address_key_print: str
    created_at: datetime = Field(default_factory=now, sa_type=Instant)


class Customer(SQLModel, table=True):
    """Anyone who buys or may buy. `lot` is a stable random number for shares and holdouts."""

    id: int | None = Field(default=None, primary_key=True, sa_type=RowId)
    key: str = Field(unique=True)
    email: str | None = None
    address_hash: str | None = Field(default=None, index=True)
    first_name: str | None = None
    last_name: str | None = None
    language: str | None = None
    country: str | None = None
    time_zone: str | None = None
    lot: int = Field(sa_type=BigInteger)
    joined_at: datetime | None = Field(default=None, sa_type=Instant)
    facts: dict[str, Any] = Field(default_factory=dict, sa_type=Json)


class Product(SQLModel, table=True):
    """What can be bought and offered. `known` is false for one that only a purchase line ever named.

    `lines` is about how many lines bought it: from it the database is told which way is the shorter.
    """

    id: int | None = Field(default=None, primary_key=True, sa_type=RowId)
    key: str = Field(unique=True)
    name: str | None = None
    department: str | None = Field(default=None, index=True)
    category: str | None = None
    type: str | None = None
    brand: str | None = None
    size: str | None = None
    price: Decimal | None = Field(default=None, sa_type=Exact)
    url: str | None = None
    known: bool = True
    lines: int = 0
    facts: dict[str, Any] = Field(default_factory=dict, sa_type=Json)


class Purchase(SQLModel, table=True):
    """One line of an order. `nth` tells apart equal products of an order: 1, 2, … bought, below 0 returned.

    `returned_at` is from when on it does not count as bought (store.returns), None for what was kept. A line that was
    returned in parts gives way to rows for these, with `nth` from FIRST_PART on.
    """

    __table_args__ = (
        # A customer's rows lie side by side in the key alone, so the key holds all of them.
        PrimaryKeyConstraint("customer_id", "order_key", "product_id", "nth", postgresql_include=_LINE),
        Index("ix_purchase_product_id", "product_id", "at", "returned_at", postgresql_include=_WHOSE),
        # Whole rows once more, a customer's by time: SQLite reads one at a time, and so only those of a window.
        Index("ix_purchase_customer_id", "customer_id", "at", "product_id", *_LINE[1:]).ddl_if(dialect="sqlite"),
        Index("ix_purchase_returned", "customer_id", "at", sqlite_where=_NOT_BOUGHT, postgresql_where=_NOT_BOUGHT),
        {"sqlite_with_rowid": False},
    )
    customer_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    order_key: str = Field(primary_key=True)
    product_id: int = Field(primary_key=True, sa_type=BigInteger)
    nth: int = Field(default=1, primary_key=True, sa_type=BigInteger)
    at: datetime = Field(sa_type=Instant)
    quantity: Decimal = Field(sa_type=Exact)
    amount: Decimal = Field(sa_type=Exact)
    channel: str | None = None
    returned_at: datetime | None = Field(default=None, sa_type=Instant)


class Buyer(SQLModel, table=True):
    """The sums over all of a customer's purchases, with what was returned last; `gross` only of what is above zero."""

    customer_id: int = Field(primary_key=True, sa_type=RowId, sa_column_kwargs={"autoincrement": False})
    first_at: datetime = Field(sa_type=Instant)
    last_at: datetime = Field(sa_type=Instant)
    orders: int
    lines: int
    gross: Decimal = Field(sa_type=Exact)
    returned_at: datetime | None = Field(default=None, sa_type=Instant)


class Order(SQLModel, table=True):
    """The sums over one order's lines at one moment, made from them: `part` 0 of those kept, the others returned."""

    __tablename__ = "purchase_order"
    __table_args__ = (
        PrimaryKeyConstraint("customer_id", "at", "order_key", "part", postgresql_include=_SUMS),
        {"sqlite_with_rowid": False},
    )
    customer_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    at: datetime = Field(primary_key=True, sa_type=Instant)
    order_key: str = Field(primary_key=True)
    part: int = Field(default=0, primary_key=True)
    lines: int
    items: Decimal = Field(sa_type=Exact)
    amount: Decimal = Field(sa_type=Exact)
    gross: Decimal = Field(sa_type=Exact)
    returned_at: datetime | None = Field(default=None, sa_type=Instant)


class Event(SQLModel, table=True):
    """One custom event (viewed, redeemed a coupon). `key` makes the same event twice one event."""

    customer_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    key: str = Field(primary_key=True)
    name: str = Field(index=True)
    at: datetime = Field(sa_type=Instant)
    product_id: int | None = Field(default=None, sa_type=BigInteger)
    amount: Decimal | None = Field(default=None, sa_type=Exact)
    facts: dict[str, Any] = Field(default_factory=dict, sa_type=Json)


class Interaction(SQLModel, table=True):
    """One conversation: a call, a visit, a support case. `key` makes the same one twice one."""

    customer_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    key: str = Field(primary_key=True)
    kind: str
    at: datetime = Field(sa_type=Instant)
    direction: str | None = None
    outcome: str | None = None
    facts: dict[str, Any] = Field(default_factory=dict, sa_type=Json)


class Referral(SQLModel, table=True):
    """One customer brought another, `referred_id`."""

    customer_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    referred_id: int = Field(primary_key=True, sa_type=BigInteger, index=True)
    at: datetime = Field(sa_type=Instant)
    source: str | None = None


class ConsentLog(SQLModel, table=True):
    """Every consent given or withdrawn, with its proof. Append-only: the database itself refuses to change it."""

    __tablename__ = "consent_log"
    __table_args__ = (UniqueConstraint("customer_id", "topic", "at", "given"),)
    id: int | None = Field(default=None, primary_key=True, sa_type=RowId)
    customer_id: int = Field(sa_type=BigInteger)
    topic: str
    given: bool
    at: datetime = Field(sa_type=Instant)
    source: str
    proof: dict[str, Any] = Field(default_factory=dict, sa_type=Json)


class Consent(SQLModel, table=True):
    """The newest entry of the log for each customer and topic."""

    customer_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    topic: str = Field(primary_key=True)
    given: bool
    at: datetime = Field(sa_type=Instant)


class Preference(SQLModel, table=True):
    """What a customer stated: `name: value` holds, or does not. It always wins over a trait."""

    customer_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    name: str = Field(primary_key=True)
    value: str = Field(primary_key=True)
    holds: bool
    source: str
    at: datetime = Field(sa_type=Instant)


class Trait(SQLModel, table=True):
    """What we inferred, with confidence (0 to 1) and the evidence in numbers."""

    customer_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    name: str = Field(primary_key=True)
    value: str = Field(primary_key=True)
    confidence: float
    evidence: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    as_of: datetime = Field(sa_type=Instant)


class Suppression(SQLModel, table=True):
    """An address that must not be mailed. Only its keyed hash is kept, so that it survives erasure."""

    address_hash: str = Field(primary_key=True)
    reason: str
    source: str
    at: datetime = Field(default_factory=now, sa_type=Instant)


class AddressWithdrawal(SQLModel, table=True):
    """The newest withdrawal said of an address itself: it binds every customer who has or gets the address."""

    __tablename__ = "address_withdrawal"
    address_hash: str = Field(primary_key=True)
    topic: str = Field(primary_key=True)
    at: datetime = Field(sa_type=Instant)
    source: str


class Frozen(SQLModel, table=True):
    """A definition or template as it was at a launch, named by the digest of its body."""

    digest: str = Field(primary_key=True)
    kind: str
    body: dict[str, Any] = Field(sa_type=Json)


class Plan(SQLModel, table=True):
    """What a look at a campaign found. `digest` covers rules, templates, catalogue and as_of."""

    id: str = Field(primary_key=True)
    campaign: str = Field(index=True)
    digest: str
    as_of: datetime = Field(sa_type=Instant)
    made_at: datetime = Field(default_factory=now, sa_type=Instant)
    summary: dict[str, Any] = Field(default_factory=dict, sa_type=Json)


class PlanRow(SQLModel, table=True):
    """One customer of a plan: the content, or the reason for none; `offers` pairs product ids with times bought."""

    __tablename__ = "plan_row"
    __table_args__ = ({"sqlite_with_rowid": False},)
    plan_id: str = Field(primary_key=True)
    customer_id: int = Field(primary_key=True, sa_type=BigInteger)
    content: str | None = None
    reason: str | None = None
    offers: list[list[int]] | None = Field(default=None, sa_type=Json)


class Schedule(SQLModel, table=True):
    """A campaign that the clock launches: once at `next_at`, or again and again by `cron` in `zone`."""

    id: int | None = Field(default=None, primary_key=True, sa_type=RowId)
    campaign: str = Field(index=True)
    definition: str
    cron: str | None = None
    zone: str = "UTC"
    next_at: datetime = Field(sa_type=Instant)
    state: str = "armed"
    made_at: datetime = Field(default_factory=now, sa_type=Instant)


class Run(SQLModel, table=True):
    """One launch of a campaign. `definition` names the frozen campaign; (schedule_id, slot) can be launched once.

    `service` marks mail on a topic that needs no consent: no cap counts it, and none holds it back. `goal`: {} is none.
    """

    __table_args__ = (UniqueConstraint("schedule_id", "slot"),)
    id: int | None = Field(default=None, primary_key=True, sa_type=RowId)
    campaign: str = Field(index=True)
    topic: str
    definition: str
    at_least_once: bool = False
    service: bool = False
    goal: dict[str, Any] | None = Field(default=None, sa_type=Json)
    state: str = "running"
    as_of: datetime = Field(sa_type=Instant)
    plan_id: str | None = Field(default=None, unique=True)
    schedule_id: int | None = Field(default=None, sa_type=BigInteger)
    slot: datetime | None = Field(default=None, sa_type=Instant)
    launched_at: datetime = Field(default_factory=now, sa_type=Instant)
    finished_at: datetime | None = Field(default=None, sa_type=Instant)


class Delivery(SQLModel, table=True):
    """The ledger: one customer in one run. `token` fences its worker, `revision` its letter; see states.Suspicion."""

    __table_args__ = (
        Index("ix_delivery_due", "run_id", "state", "customer_id"),
        Index("ix_delivery_customer", "customer_id"),
    )
    run_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    customer_id: int = Field(primary_key=True, sa_type=BigInteger)
    state: str
    content: str | None = None
    reason: str | None = None
    offers: list[list[int]] | None = Field(default=None, sa_type=Json)
    token: int | None = Field(default=None, sa_type=BigInteger)
    lease_until: datetime | None = Field(default=None, sa_type=Instant)
    attempts: int = 0
    revision: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    suspicion: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    next_attempt_at: datetime | None = Field(default=None, sa_type=Instant)
    dotted_at: datetime | None = Field(default=None, sa_type=Instant)
    settled_at: datetime | None = Field(default=None, sa_type=Instant)
    reply: str | None = None


class Link(SQLModel, table=True):
    """A link that stood in a mail; `id` is a hash of the address, so the same link has one row."""

    id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    url: str


class Feedback(SQLModel, table=True):
    """What came back from a customer. `key` makes the same report twice one report; `class` says who caused it."""

    __table_args__ = (UniqueConstraint("customer_id", "key"), Index("ix_feedback_run", "run_id", "kind"))
    id: int | None = Field(default=None, primary_key=True, sa_type=RowId)
    customer_id: int = Field(sa_type=BigInteger)
    run_id: int | None = Field(default=None, sa_type=BigInteger)
    kind: str
    key: str
    at: datetime = Field(sa_type=Instant)
    by: str = "human"
    why: str = ""
    link_id: int | None = Field(default=None, sa_type=BigInteger)
    detail: dict[str, Any] = Field(default_factory=dict, sa_type=Json)


class ConversionDue(SQLModel, table=True):
    """A customer whose conversions are to be made again: what they are made of has changed."""

    __tablename__ = "conversion_due"
    id: int | None = Field(default=None, primary_key=True, sa_type=RowId)
    customer_id: int = Field(sa_type=BigInteger)


class Lease(SQLModel, table=True):
    """Who holds a named office (the clock) until when."""

    name: str = Field(primary_key=True)
    holder: str
    until: datetime = Field(sa_type=Instant)
