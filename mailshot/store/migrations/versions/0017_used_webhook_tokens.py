"""Keep the tokens of webhooks for an hour, so that none comes twice."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

from mailshot.store.column_types import Instant

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    text = sqlmodel.sql.sqltypes.AutoString
    op.create_table(
        "webhook_token",
        sa.Column("digest", text(), nullable=False),
        sa.Column("event", text(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_webhook_token")),
    )
    op.create_index(op.f("ix_webhook_token_at"), "webhook_token", ["at"])


def downgrade() -> None:
    op.drop_table("webhook_token")
