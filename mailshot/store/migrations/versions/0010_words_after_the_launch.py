"""Count, on each delivery, what its customer said after the launch, and keep the addresses that customers had."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

from mailshot.store.column_types import Instant

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("delivery", sa.Column("revision", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.create_table(
        "former_address",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("address_hash", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("until", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "address_hash", name=op.f("pk_former_address")),
    )
    op.create_index(op.f("ix_former_address_address_hash"), "former_address", ["address_hash"])


def downgrade() -> None:
    op.drop_table("former_address")
    op.drop_column("delivery", "revision")
