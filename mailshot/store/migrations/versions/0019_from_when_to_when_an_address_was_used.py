"""Keep each time that a customer had an address, also when they returned to it."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

from mailshot.store.column_types import Instant

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

# An address was used from when the one before it was given up.
INTERVALS = """
SELECT customer_id, address_hash, until,
    lag(until) OVER (PARTITION BY customer_id ORDER BY until, address_hash) AS since
FROM former_address
"""
LAST_TIMES = """
SELECT customer_id, address_hash, max(until) AS until
FROM former_address GROUP BY customer_id, address_hash
"""


def upgrade() -> None:
    _recreate(INTERVALS, ("customer_id", "until"), sa.Column("since", Instant(), nullable=True))


def downgrade() -> None:
    _recreate(LAST_TIMES, ("customer_id", "address_hash"))


def _recreate(rows: str, key: tuple[str, str], *added: sa.Column[object]) -> None:
    """Create the table again with the rows of a query, because SQLite cannot change a key."""
    op.execute(f"CREATE TEMPORARY TABLE kept AS {rows}")
    op.drop_table("former_address")
    op.create_table(
        "former_address",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("address_hash", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        *added,
        sa.Column("until", Instant(), nullable=False),
        sa.PrimaryKeyConstraint(*key, name=op.f("pk_former_address")),
    )
    op.create_index(op.f("ix_former_address_address_hash"), "former_address", ["address_hash"])
    names = ", ".join(["customer_id", "address_hash", *(column.name for column in added), "until"])
    # Of two rows with one key the second is an address that was given up at the moment it was got.
    ordered = f"SELECT {names} FROM kept WHERE true ORDER BY customer_id, until, address_hash"
    op.execute(f"INSERT INTO former_address ({names}) {ordered} ON CONFLICT DO NOTHING")
    op.execute("DROP TABLE kept")
