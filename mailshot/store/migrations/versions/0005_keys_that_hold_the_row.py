"""Keep whole rows in the keys of purchases and orders on PostgreSQL, as SQLite does."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

PURCHASE = ("purchase", "customer_id, order_key, product_id, nth", '"at", quantity, amount, channel')
ORDER = ("purchase_order", 'customer_id, "at", order_key', "lines, items, amount, gross")


def upgrade() -> None:
    for table, key, rest in (PURCHASE, ORDER):
        _key(table, f"({key}) INCLUDE ({rest})")


def downgrade() -> None:
    for table, key, _ in (PURCHASE, ORDER):
        _key(table, f"({key})")


def _key(table: str, columns: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT pk_{table}, ADD CONSTRAINT pk_{table} PRIMARY KEY {columns}")
