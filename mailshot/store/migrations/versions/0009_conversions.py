"""Keep the goal of each run, and whose conversions are to be made; those of mails already sent are made once."""

import sqlalchemy as sa
from alembic import op

from mailshot.store.column_types import Json, RowId

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run", sa.Column("goal", Json, nullable=True))
    op.create_table(
        "conversion_due",
        sa.Column("id", RowId, nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversion_due")),
    )
    op.execute(
        "INSERT INTO conversion_due (customer_id) SELECT DISTINCT delivery.customer_id FROM delivery "
        "JOIN run ON run.id = delivery.run_id WHERE run.state <> 'past' AND delivery.state = 'sent'"
    )


def downgrade() -> None:
    op.execute("DELETE FROM feedback WHERE kind = 'converted' AND substr(key, 1, 5) = 'goal:'")
    op.drop_table("conversion_due")
    op.drop_column("run", "goal")
