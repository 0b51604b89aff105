"""The tables. `customer_id` leads the key of every large one, so that PostgreSQL can be sharded by it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Index, PrimaryKeyConstraint, UniqueConstraint, false, text
from sqlmodel import Field, SQLModel

from mailshot.store.column_types import NAMING_CONVENTION, Exact, Instant, Json, RowId, now

SQLModel.metadata.naming_convention = NAMING_CONVENTION
#: The first `nth` of rows that represent part of a purchase line; imported lines are lower (see `Purchase`).
FIRST_PART = 1_000_001
_LINE = ["at", "quantity", "amount", "channel", "returned_at"]
_SUMS = ["lines", "items", "amount", "gross", "returned_at"]
_WHOSE, _NOT_BOUGHT = ["customer_id", "order_key"], text("quantity <= 0")


class Customer(SQLModel, table=True):
    """Anyone who buys or may buy."""

    id: int | None = Field(default=None, primary_key=True, sa_type=RowId)
    #: The shop's key, from the import.
    key: str = Field(unique=True)
    email: str | None = None
    #: Keyed hash of the normalised address: equal for all customers of an inbox.
    address_hash: str | None = Field(default=None, index=True)
    first_name: str | None = None
    last_name: str | None = None
    language: str | None = None
    country: str | None = None
    time_zone: str | None = None
    lot: int = Field(sa_type=BigInteger)  #: Stable random number for shares and holdouts (see `profile.bucketing`).
    joined_at: datetime | None = Field(default=None, sa_type=Instant)
    #: The shop's own facts by name (rules/facts.yaml).
    facts: dict[str, Any] = Field(default_factory=dict, sa_type=Json)


class Product(SQLModel, table=True):
    """What can be bought and offered."""

    id: int | None = Field(default=None, primary_key=True, sa_type=RowId)
    #: The shop's key, from the import.
    key: str = Field(unique=True)
    name: str | None = None
    department: str | None = Field(default=None, index=True)
    category: str | None = None
    type: str | None = None
    brand: str | None = None
    size: str | None = None
    #: In the company's currency.
    price: Decimal | None = Field(default=None, sa_type=Exact)
    url: str | None = None
    #: False for a product that only purchase lines or events named, but no import of products.
    known: bool = True
    #: Roughly how many purchase lines bought it: an estimate for the rule compiler (see `selectivity`).
    lines: int = 0
    #: The shop's own facts by name (rules/facts.yaml).
    facts: dict[str, Any] = Field(default_factory=dict, sa_type=Json)


class Purchase(SQLModel, table=True):
    """One line of an order. A line that was returned in part is replaced by rows for its parts (`store.returns`)."""

    __table_args__ = (
        # Only the key stores a customer's rows next to each other, so it includes all columns.
        PrimaryKeyConstraint("customer_id", "order_key", "product_id", "nth", postgresql_include=_LINE),
        Index("ix_purchase_product_id", "product_id", "at", "returned_at", postgresql_include=_WHOSE),
        # All columns again, by customer and time: SQLite then reads the rows of a window only.
        Index("ix_purchase_customer_id", "customer_id", "at", "product_id", *_LINE[1:]).ddl_if(dialect="sqlite"),
        Index("ix_purchase_returned", "customer_id", "at", sqlite_where=_NOT_BOUGHT, postgresql_where=_NOT_BOUGHT),
        {"sqlite_with_rowid": False},
    )
    customer_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    order_key: str = Field(primary_key=True)
    product_id: int = Field(primary_key=True, sa_type=BigInteger)
    #: Tells apart equal products of an order: 1, 2, … bought; below 0 returned; from FIRST_PART on parts of a line.
    nth: int = Field(default=1, primary_key=True, sa_type=BigInteger)
    at: datetime = Field(sa_type=Instant)
    quantity: Decimal = Field(sa_type=Exact)
    #: Paid for the whole line, in the company's currency; below 0 paid back.
    amount: Decimal = Field(sa_type=Exact)
    channel: str | None = None
    #: From when on the line does not count as bought; None: it was kept.
    returned_at: datetime | None = Field(default=None, sa_type=Instant)


class Buyer(SQLModel, table=True):
    """The totals over all of a customer's purchases."""

    customer_id: int = Field(primary_key=True, sa_type=RowId, sa_column_kwargs={"autoincrement": False})
    first_at: datetime = Field(sa_type=Instant)
    last_at: datetime = Field(sa_type=Instant)
    orders: int
    lines: int
    #: Sum of the amounts above 0.
    gross: Decimal = Field(sa_type=Exact)
    #: When something was last returned, None: never.
    returned_at: datetime | None = Field(default=None, sa_type=Instant)


class Order(SQLModel, table=True):
    """The totals over the lines of one order at one moment."""

    __tablename__ = "purchase_order"
    __table_args__ = (
        PrimaryKeyConstraint("customer_id", "at", "order_key", "part", postgresql_include=_SUMS),
        {"sqlite_with_rowid": False},
    )
    customer_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    at: datetime = Field(primary_key=True, sa_type=Instant)
    order_key: str = Field(primary_key=True)
    #: 0: the lines that were kept; each other part: lines that were returned at the same moment.
    part: int = Field(default=0, primary_key=True)
    lines: int
    items: Decimal = Field(sa_type=Exact)
    amount: Decimal = Field(sa_type=Exact)
    #: Sum of the amounts above 0.
    gross: Decimal = Field(sa_type=Exact)
    returned_at: datetime | None = Field(default=None, sa_type=Instant)


class Event(SQLModel, table=True):
    """One event of the shop's own (viewed, redeemed a coupon)."""

    customer_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    #: The same event imported twice has the same key, and is one row.
    key: str = Field(primary_key=True)
    name: str = Field(index=True)
    at: datetime = Field(sa_type=Instant)
    product_id: int | None = Field(default=None, sa_type=BigInteger)
    amount: Decimal | None = Field(default=None, sa_type=Exact)
    facts: dict[str, Any] = Field(default_factory=dict, sa_type=Json)


class Interaction(SQLModel, table=True):
    """One interaction: a call, a visit, a support case."""

    customer_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    #: The same interaction imported twice has the same key, and is one row.
    key: str = Field(primary_key=True)
    kind: str
    at: datetime = Field(sa_type=Instant)
    #: "in" when the customer began it, else "out".
    direction: str | None = None
    outcome: str | None = None
    facts: dict[str, Any] = Field(default_factory=dict, sa_type=Json)


class Referral(SQLModel, table=True):
    """One customer referred another, `referred_id`."""

    customer_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    referred_id: int = Field(primary_key=True, sa_type=BigInteger, index=True)
    at: datetime = Field(sa_type=Instant)
    source: str | None = None


class ConsentLog(SQLModel, table=True):
    """Every consent given or withdrawn, with its proof. Append-only: a trigger rejects changes."""

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
    """The entry of the log that counts, for each customer and topic."""

    customer_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    topic: str = Field(primary_key=True)
    given: bool
    at: datetime = Field(sa_type=Instant)


class Preference(SQLModel, table=True):
    """What a customer stated: `name: value` holds, or does not. Overrides any trait."""

    customer_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    name: str = Field(primary_key=True)
    value: str = Field(primary_key=True)
    holds: bool
    source: str
    at: datetime = Field(sa_type=Instant)


class Trait(SQLModel, table=True):
    """What was inferred from behaviour."""

    customer_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    name: str = Field(primary_key=True)
    value: str = Field(primary_key=True)
    #: Probability, 0 to 1.
    confidence: float
    #: The counts behind it, by name (see `profile.traits`).
    evidence: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    as_of: datetime = Field(sa_type=Instant)


class Suppression(SQLModel, table=True):
    """An address that must not be mailed. Only its keyed hash is stored, so that it survives an erasure."""

    address_hash: str = Field(primary_key=True)
    reason: str
    source: str
    at: datetime = Field(default_factory=now, sa_type=Instant)


class AddressWithdrawal(SQLModel, table=True):
    """The latest withdrawal for an address itself: it applies to every customer who has or gets the address."""

    __tablename__ = "address_withdrawal"
    address_hash: str = Field(primary_key=True)
    topic: str = Field(primary_key=True)
    at: datetime = Field(sa_type=Instant)
    source: str


class Frozen(SQLModel, table=True):
    """A campaign with its rules and templates as they were at a launch, by the hash of `body` (see `snapshots`)."""

    digest: str = Field(primary_key=True)
    kind: str
    body: dict[str, Any] = Field(sa_type=Json)


class Plan(SQLModel, table=True):
    """The head of a plan (see `plans.PlanHead`); its rows are in `PlanRow`."""

    id: str = Field(primary_key=True)
    campaign: str = Field(index=True)
    digest: str
    as_of: datetime = Field(sa_type=Instant)
    made_at: datetime = Field(default_factory=now, sa_type=Instant)
    summary: dict[str, Any] = Field(default_factory=dict, sa_type=Json)


class PlanRow(SQLModel, table=True):
    """What a plan decided about one customer."""

    __tablename__ = "plan_row"
    __table_args__ = ({"sqlite_with_rowid": False},)
    plan_id: str = Field(primary_key=True)
    customer_id: int = Field(primary_key=True, sa_type=BigInteger)
    content: str | None = None
    #: `states.Reason` for which the customer gets no mail, None for a mail.
    reason: str | None = None
    #: Pairs of product id and how often the customer bought it.
    offers: list[list[int]] | None = Field(default=None, sa_type=Json)


class Schedule(SQLModel, table=True):
    """A campaign that the clock launches: once at `next_at`, or repeatedly by `cron` in `zone`."""

    id: int | None = Field(default=None, primary_key=True, sa_type=RowId)
    campaign: str = Field(index=True)
    definition: str
    cron: str | None = None
    zone: str = "UTC"
    next_at: datetime = Field(sa_type=Instant)
    state: str = "armed"
    made_at: datetime = Field(default_factory=now, sa_type=Instant)


class Run(SQLModel, table=True):
    """One launch of a campaign (see `runs.NewRun` for the columns). Each slot of a schedule is launched once."""

    __table_args__ = (UniqueConstraint("schedule_id", "slot"),)
    id: int | None = Field(default=None, primary_key=True, sa_type=RowId)
    campaign: str = Field(index=True)
    topic: str
    definition: str
    at_least_once: bool = False
    service: bool = False
    archived: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    goal: dict[str, Any] | None = Field(default=None, sa_type=Json)
    state: str = "running"
    as_of: datetime = Field(sa_type=Instant)
    plan_id: str | None = Field(default=None, unique=True)
    schedule_id: int | None = Field(default=None, sa_type=BigInteger)
    slot: datetime | None = Field(default=None, sa_type=Instant)
    launched_at: datetime = Field(default_factory=now, sa_type=Instant)
    finished_at: datetime | None = Field(default=None, sa_type=Instant)


class Delivery(SQLModel, table=True):
    """The ledger: one customer in one run (see `ledger`). `state` and `suspicion` are those of `states`."""

    __table_args__ = (
        Index("ix_delivery_due", "run_id", "state", "customer_id"),
        Index("ix_delivery_customer", "customer_id"),
    )
    run_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    customer_id: int = Field(primary_key=True, sa_type=BigInteger)
    state: str
    content: str | None = None
    #: `states.Reason` of a row that is skipped or held out.
    reason: str | None = None
    #: Pairs of product id and how often the customer bought it.
    offers: list[list[int]] | None = Field(default=None, sa_type=Json)
    #: Fences the worker that holds the row: only statements with its token change it.
    token: int | None = Field(default=None, sa_type=BigInteger)
    lease_until: datetime | None = Field(default=None, sa_type=Instant)
    #: How often the mail was tried, the present attempt included.
    attempts: int = 0
    #: How often the customer's data changed since the launch: a mail rendered for an earlier revision is not sent.
    revision: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    suspicion: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    next_attempt_at: datetime | None = Field(default=None, sa_type=Instant)
    relay: str | None = None  #: Of the intent, NULL for MAILSHOT_SMTP; a row in doubt is sent again by it only.
    #: When the intent to release the final dot was committed.
    dotted_at: datetime | None = Field(default=None, sa_type=Instant)
    #: When the row reached a state in which nothing more is sent.
    settled_at: datetime | None = Field(default=None, sa_type=Instant)
    #: What the server replied, or how the row was settled.
    reply: str | None = None


class Link(SQLModel, table=True):
    """A link of a mail. `id` is a hash of the URL, so that each URL has one row."""

    id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    url: str


class Feedback(SQLModel, table=True):
    """What came back from a customer. `kind` is a `states.FeedbackKind`."""

    __table_args__ = (UniqueConstraint("customer_id", "key"), Index("ix_feedback_run", "run_id", "kind"))
    id: int | None = Field(default=None, primary_key=True, sa_type=RowId)
    customer_id: int = Field(sa_type=BigInteger)
    run_id: int | None = Field(default=None, sa_type=BigInteger)
    kind: str
    #: The same report received twice has the same key, and is one row.
    key: str
    at: datetime = Field(sa_type=Instant)
    #: `states.FeedbackClass`: who is believed to have caused it.
    by: str = "human"
    why: str = ""
    link_id: int | None = Field(default=None, sa_type=BigInteger)
    detail: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
