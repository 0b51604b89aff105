"""Keep each customer's purchases by time too on SQLite, which reads them one by one."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

NAME = "ix_purchase_customer_id"


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.create_index(NAME, "purchase", ["customer_id", "at", "product_id", "amount", "quantity", "channel"])


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.drop_index(NAME, "purchase")
