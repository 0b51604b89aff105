"""Keep what customers corrected among the facts about them, so that imports do not replace it."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

from mailshot.store.column_types import Instant, Json

revision = "0021"
down_revision = "0017"
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


def downgrade() -> None:
    op.drop_table("fact_correction")
