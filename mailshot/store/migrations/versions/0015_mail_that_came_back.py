"""Keep mail that came back: bounces, complaints, requests to unsubscribe, replies."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

from mailshot.store.column_types import Instant, Json, RowId

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    text = sqlmodel.sql.sqltypes.AutoString
    op.create_table(
        "incoming_mail",
        sa.Column("id", RowId, nullable=False),
        sa.Column("digest", text(), nullable=False),
        sa.Column("source", text(), nullable=False),
        sa.Column("recipient", text(), nullable=True),
        sa.Column("raw", sa.LargeBinary(), nullable=True),
        sa.Column("received_at", Instant(), nullable=False),
        sa.Column("kind", text(), nullable=True),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column("customer_id", sa.BigInteger(), nullable=True),
        sa.Column("verdict", Json, nullable=False),
        sa.Column("effect", text(), nullable=False),
        sa.Column("parser_version", sa.Integer(), nullable=False),
        sa.Column("processed_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incoming_mail")),
        sa.UniqueConstraint("digest", name=op.f("uq_incoming_mail_digest")),
    )
    op.create_index("ix_incoming_mail_customer", "incoming_mail", ["customer_id"])
    op.create_index("ix_incoming_mail_kind", "incoming_mail", ["kind", "id"])
    op.create_index(op.f("ix_incoming_mail_processed_at"), "incoming_mail", ["processed_at"])


def downgrade() -> None:
    op.drop_table("incoming_mail")
