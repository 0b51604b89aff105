"""Sum up each customer's purchases, index the lines of a product, and count them."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

from mailshot.store.column_types import Exact, Instant, RowId

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ORDERS = """
INSERT INTO purchase_order (customer_id, at, order_key, lines, items, amount, gross)
SELECT customer_id, "at", order_key, count(*), sum(quantity), sum(amount),
  sum(CASE WHEN amount > 0 THEN amount ELSE 0 END)
FROM purchase GROUP BY customer_id, order_key, "at" ORDER BY customer_id, "at", order_key
"""
SUMS = """
INSERT INTO buyer (customer_id, first_at, last_at, orders, lines, gross)
SELECT customer_id, min("at"), max("at"), count(DISTINCT order_key), sum(lines), sum(gross)
FROM purchase_order GROUP BY customer_id
"""


def upgrade() -> None:
    op.create_table(
        "purchase_order",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("order_key", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("items", Exact(), nullable=False),
        sa.Column("amount", Exact(), nullable=False),
        sa.Column("gross", Exact(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "at", "order_key", name=op.f("pk_purchase_order")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "buyer",
        sa.Column("customer_id", RowId, autoincrement=False, nullable=False),
        sa.Column("first_at", Instant(), nullable=False),
        sa.Column("last_at", Instant(), nullable=False),
        sa.Column("orders", sa.Integer(), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("gross", Exact(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_buyer")),
    )
    include = ["customer_id", "order_key"]
    op.create_index(op.f("ix_purchase_product_id"), "purchase", ["product_id", "at"], postgresql_include=include)
    op.add_column("product", sa.Column("lines", sa.Integer(), nullable=False, server_default="0"))
    op.execute(ORDERS)
    op.execute(SUMS)
    op.execute("UPDATE product SET lines = (SELECT count(*) FROM purchase WHERE purchase.product_id = product.id)")


def downgrade() -> None:
    op.drop_column("product", "lines")
    op.drop_index("ix_purchase_product_id", "purchase")
    op.drop_table("buyer")
    op.drop_table("purchase_order")
