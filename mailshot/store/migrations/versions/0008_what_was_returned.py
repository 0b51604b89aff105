"""Mark what was returned among purchases and their sums, and number returns apart from what was bought.

The marks and sums themselves are made after the last migration (store.installation), by the code that keeps them.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from itertools import groupby

import sqlalchemy as sa
import sqlmodel
from alembic import op

from mailshot.store.column_types import Exact, Instant, microseconds

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

KEY = "customer_id, order_key, product_id, nth"
OWNER = ["customer_id", "order_key"]
WHOLE = ["customer_id", "at", "product_id", "quantity", "amount", "channel", "returned_at"]
BEFORE = ["customer_id", "at", "product_id", "amount", "quantity", "channel"]
SUMS = ["lines", "items", "amount", "gross"]
# A return is told apart by its moment: so many times the microseconds of it, plus a turn among equal ones.
EQUAL_RETURNS = 100
# As version 0004 sums up: returns count among the lines.
ORDERS = """
INSERT INTO purchase_order (customer_id, at, order_key, lines, items, amount, gross)
SELECT customer_id, "at", order_key, count(*), sum(quantity), sum(amount),
  sum(CASE WHEN amount > 0 THEN amount ELSE 0 END)
FROM purchase GROUP BY customer_id, order_key, "at" ORDER BY customer_id, "at", order_key
"""
BUYERS = """
INSERT INTO buyer (customer_id, first_at, last_at, orders, lines, gross)
SELECT customer_id, min("at"), max("at"), count(DISTINCT order_key), sum(lines), sum(gross)
FROM purchase_order GROUP BY customer_id
"""


def upgrade() -> None:
    op.add_column("purchase", sa.Column("returned_at", Instant(), nullable=True))
    op.add_column("buyer", sa.Column("returned_at", Instant(), nullable=True))
    op.drop_table("purchase_order")
    _create_orders(sa.Column("part", sa.Integer(), nullable=False), sa.Column("returned_at", Instant(), nullable=True))
    _key(sa.BigInteger(), f'({KEY}) INCLUDE ("at", quantity, amount, channel, returned_at)')
    _index("ix_purchase_product_id", ["product_id", "at", "returned_at"], postgresql_include=OWNER)
    if _sqlite():
        _index("ix_purchase_customer_id", WHOLE)
    meant = sa.text("quantity <= 0")
    op.create_index(
        "ix_purchase_returned", "purchase", ["customer_id", "at"], sqlite_where=meant, postgresql_where=meant
    )
    _renumber(apart=True)


def downgrade() -> None:
    op.execute("DELETE FROM purchase WHERE nth > 1000000")
    _renumber(apart=False)
    op.drop_index("ix_purchase_returned", "purchase")
    _key(sa.Integer(), f'({KEY}) INCLUDE ("at", quantity, amount, channel)')
    _index("ix_purchase_product_id", ["product_id", "at"], postgresql_include=OWNER)
    if _sqlite():
        _index("ix_purchase_customer_id", BEFORE)
    op.drop_table("purchase_order")
    _create_orders()
    for table in ("purchase", "buyer"):
        op.drop_column(table, "returned_at")
    op.execute(ORDERS)
    op.execute("DELETE FROM buyer")
    op.execute(BUYERS)


def _sqlite() -> bool:
    return bool(op.get_bind().dialect.name == "sqlite")


def _create_orders(*more: sa.Column[object]) -> None:
    key = [*("customer_id", "at", "order_key"), *(column.name for column in more if not column.nullable)]
    held = [*SUMS, *(column.name for column in more if column.nullable)]
    op.create_table(
        "purchase_order",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("order_key", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("items", Exact(), nullable=False),
        sa.Column("amount", Exact(), nullable=False),
        sa.Column("gross", Exact(), nullable=False),
        *more,
        sa.PrimaryKeyConstraint(*key, name=op.f("pk_purchase_order"), postgresql_include=held),
        sqlite_with_rowid=False,
    )


def _key(nth: sa.Integer, columns: str) -> None:
    """Make the key anew on PostgreSQL; SQLite keeps whole rows in it, and integers of any size."""
    if not _sqlite():
        op.drop_constraint("pk_purchase", "purchase")
        op.alter_column("purchase", "nth", type_=nth)
        op.execute(f"ALTER TABLE purchase ADD CONSTRAINT pk_purchase PRIMARY KEY {columns}")


def _index(name: str, columns: list[str], **more: list[str]) -> None:
    op.drop_index(name, "purchase")
    op.create_index(name, "purchase", columns, **more)


def _renumber(apart: bool) -> None:
    """Number returns below zero by their moment, and purchases 1, 2, …; or, not `apart`, both in one row."""
    bind = op.get_bind()
    returned = "SELECT DISTINCT customer_id, order_key, product_id FROM purchase WHERE quantity < 0"
    same = "r.customer_id = p.customer_id AND r.order_key = p.order_key AND r.product_id = p.product_id"
    rows = bind.execute(
        sa.text(
            f'SELECT p.customer_id, p.order_key, p.product_id, p.nth, p.quantity < 0, p."at" FROM ({returned}) AS r '
            f"JOIN purchase AS p ON {same} ORDER BY p.customer_id, p.order_key, p.product_id, abs(p.nth), p.nth DESC"
        )
    ).all()
    moves: list[dict[str, object]] = []
    for (customer, order, product), lines in groupby(rows, key=lambda row: tuple(row[:3])):
        turns: Counter[object] = Counter()
        for *_, nth, back, at in lines:
            kind = at if back and apart else None
            turns[kind] += 1
            new = turns[kind] if kind is None else -(abs(_microseconds(kind)) * EQUAL_RETURNS + turns[kind])
            moves.append({"c": customer, "o": order, "p": product, "old": nth, "new": new})
    where = "WHERE customer_id = :c AND order_key = :o AND product_id = :p AND nth"
    # By way of numbers that none has, so that no two rows ever have the same.
    changed = [move for move in moves if move["old"] != move["new"]]
    far = [{**move, "far": 2_000_000 + turn} for turn, move in enumerate(changed)]
    if far:
        bind.execute(sa.text(f"UPDATE purchase SET nth = :far {where} = :old"), far)
        bind.execute(sa.text(f"UPDATE purchase SET nth = :new {where} = :far"), far)


def _microseconds(at: object) -> int:
    """Return what SQLite keeps of a moment."""
    return microseconds(at) if isinstance(at, datetime) else int(str(at))
