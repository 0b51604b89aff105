"""Keep the facts that customers corrected, and their requests for mail to another address."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

from mailshot.store.column_types import Instant, Json, RowId

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    text = sqlmodel.sql.sqltypes.AutoString
    op.create_table(
        "fact_correction",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("fact", text(), nullable=False),
        sa.Column("value", Json, nullable=True),
        sa.Column("source", text(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "fact", name=op.f("pk_fact_correction")),
    )
    op.create_table(
        "address_change",
        sa.Column("id", RowId, nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        *(sa.Column(name, text(), nullable=False) for name in ("old_email", "old_hash", "new_email", "new_hash")),
        sa.Column("language", text(), nullable=False),
        sa.Column("link", text(), nullable=False),
        sa.Column("notice", text(), nullable=True),
        sa.Column("asked_at", Instant(), nullable=False),
        sa.Column("due_at", Instant(), nullable=False),
        sa.Column("confirmed_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_address_change")),
    )
    op.create_index(op.f("ix_address_change_customer_id"), "address_change", ["customer_id"])
    op.create_index(op.f("ix_address_change_new_hash"), "address_change", ["new_hash"])


def downgrade() -> None:
    op.drop_table("address_change")
    op.drop_table("fact_correction")
