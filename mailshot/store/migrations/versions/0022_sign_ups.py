"""Keep sign-ups until they are confirmed, or deleted after days."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

from mailshot.store.column_types import Instant, Json, RowId

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    text = sqlmodel.sql.sqltypes.AutoString
    op.create_table(
        "sign_up",
        sa.Column("id", RowId, nullable=False),
        sa.Column("email", text(), nullable=True),
        sa.Column("address_hash", text(), nullable=False),
        sa.Column("client_hash", text(), nullable=False),
        sa.Column("language", text(), nullable=False),
        sa.Column("topics", Json, nullable=False),
        sa.Column("form", text(), nullable=False),
        sa.Column("sender", Json, nullable=False),
        sa.Column("state", text(), nullable=False),
        sa.Column("asked_at", Instant(), nullable=False),
        sa.Column("due_at", Instant(), nullable=False),
        sa.Column("confirmed_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_up")),
    )
    op.create_index(op.f("ix_sign_up_address_hash"), "sign_up", ["address_hash"])
    op.create_index(op.f("ix_sign_up_asked_at"), "sign_up", ["asked_at"])


def downgrade() -> None:
    op.drop_table("sign_up")
