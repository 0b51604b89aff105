"""Keep who did what to customers and addresses by hand, and suppressions of which only a foreign hash is known."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

from mailshot.store.column_types import Instant, RowId

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

MESSAGE = "audit_entry is append-only"
# The planner keeps no samples of what could be personal.
PERSONAL = ("by", "address_hash", "subject", "why")
# An erasure takes the address and the reason away.
BLANKED = " AND ".join(
    [
        *(f'NEW."{name}" = OLD."{name}"' for name in ("id", "at", "by", "action")),
        "coalesce(NEW.customer_id, 0) = coalesce(OLD.customer_id, 0)",
        "NEW.address_hash IS NULL AND NEW.subject = '' AND NEW.why = ''",
    ]
)


def upgrade() -> None:
    text = sqlmodel.sql.sqltypes.AutoString
    op.create_table(
        "audit_entry",
        sa.Column("id", RowId, nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("by", text(), nullable=False),
        sa.Column("action", text(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=True),
        sa.Column("address_hash", text(), nullable=True),
        sa.Column("subject", text(), nullable=False),
        sa.Column("why", text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entry")),
    )
    op.create_index(op.f("ix_audit_entry_customer_id"), "audit_entry", ["customer_id"])
    op.create_index(op.f("ix_audit_entry_address_hash"), "audit_entry", ["address_hash"])
    op.create_table(
        "suppressed_digest",
        sa.Column("digest", text(), nullable=False),
        sa.Column("reason", text(), nullable=False),
        sa.Column("source", text(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_suppressed_digest")),
    )
    _refuse_changes()


def _refuse_changes() -> None:
    """Let the database itself refuse to change the audit log, except for erasures."""
    if op.get_bind().dialect.name == "sqlite":
        raising = f"BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END"
        op.execute(f"CREATE TRIGGER audit_entry_no_update BEFORE UPDATE ON audit_entry WHEN NOT ({BLANKED}) {raising}")
        op.execute(f"CREATE TRIGGER audit_entry_no_delete BEFORE DELETE ON audit_entry {raising}")
        return
    op.execute('ALTER TABLE suppressed_digest ALTER COLUMN "source" SET STATISTICS 0')
    for name in PERSONAL:
        op.execute(f'ALTER TABLE audit_entry ALTER COLUMN "{name}" SET STATISTICS 0')
    op.execute(
        "CREATE FUNCTION audit_entry_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN IF TG_OP = 'UPDATE' THEN IF {BLANKED} THEN RETURN NEW; END IF; END IF; "
        f"RAISE EXCEPTION '{MESSAGE}'; END $$"
    )
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_entry_no_{change.lower()} BEFORE {change} ON audit_entry "
            "FOR EACH ROW EXECUTE FUNCTION audit_entry_append_only()"
        )


def downgrade() -> None:
    op.drop_table("suppressed_digest")
    op.drop_table("audit_entry")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_entry_append_only()")
