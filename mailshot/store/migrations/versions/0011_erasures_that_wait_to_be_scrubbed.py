"""Remember erasures until no file holds their bytes, and keep personal values out of PostgreSQL's statistics."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

from mailshot.store.column_types import Instant, now

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TEXT, JSON = "varchar", "jsonb"
# Of the words that rules ask for (names of events, preferences and traits, reasons) the planner needs statistics.
PERSONAL = {
    "customer": {
        "key": TEXT, "email": TEXT, "address_hash": TEXT, "first_name": TEXT, "last_name": TEXT, "facts": JSON,
    },
    "purchase": {"order_key": TEXT},
    "purchase_order": {"order_key": TEXT},
    "event": {"key": TEXT, "facts": JSON},
    "interaction": {"key": TEXT, "facts": JSON},
    "referral": {"source": TEXT},
    "consent_log": {"source": TEXT, "proof": JSON},
    "preference": {"source": TEXT},
    "trait": {"evidence": JSON},
    "suppression": {"source": TEXT},
    "address_withdrawal": {"source": TEXT},
    "plan_row": {"offers": JSON},
    "delivery": {"offers": JSON, "reply": TEXT},
    "feedback": {"key": TEXT, "detail": JSON},
}  # fmt: skip
ERASED = "erased"


def upgrade() -> None:
    text, instant = sqlmodel.sql.sqltypes.AutoString, Instant
    op.create_table(
        "erasure",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", instant(), nullable=False),
        sa.Column("scrubbed_at", instant(), nullable=True),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_erasure")),
    )
    op.create_table(
        "erased_key",
        sa.Column("key_hash", text(), nullable=False),
        sa.Column("address_hash", text(), nullable=True),
        sa.Column("at", instant(), nullable=False),
        sa.Column("back_at", instant(), nullable=True),
        sa.PrimaryKeyConstraint("key_hash", name=op.f("pk_erased_key")),
    )
    op.create_index(op.f("ix_erased_key_address_hash"), "erased_key", ["address_hash"])
    op.create_table(
        "vacuum_probe",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vacuum_probe")),
    )
    _let_the_log_be_blanked()
    _take_up_earlier_erasures()
    if op.get_bind().dialect.name == "postgresql":
        _forget_statistics()


def _let_the_log_be_blanked() -> None:
    """Allow one change of the log of consents: to take source and proof of an erased customer away."""
    same = " AND ".join(f"NEW.{name} = OLD.{name}" for name in ("id", "customer_id", "topic", "given", "at"))
    empty = f"NEW.source = '{ERASED}' AND CAST(NEW.proof AS TEXT) = '{{}}'"
    allowed = f"{same} AND {empty} AND EXISTS (SELECT 1 FROM erasure WHERE customer_id = OLD.customer_id)"
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER consent_log_no_update")
        op.execute(
            f"CREATE TRIGGER consent_log_no_update BEFORE UPDATE ON consent_log WHEN NOT ({allowed}) "
            "BEGIN SELECT RAISE(ABORT, 'consent_log is append-only'); END"
        )
        return
    op.execute(
        "CREATE OR REPLACE FUNCTION consent_log_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN IF TG_OP = 'UPDATE' THEN IF {allowed} THEN RETURN NEW; END IF; END IF; "
        "RAISE EXCEPTION 'consent_log is append-only'; END $$"
    )


def _take_up_earlier_erasures() -> None:
    """Let the remains of customers who were erased by an earlier version be scrubbed as well."""
    erasure = sa.table("erasure", sa.column("customer_id"), sa.column("at", Instant()))
    customer = sa.table("customer", sa.column("id"), sa.column("key"))
    gone = sa.select(customer.c.id, sa.literal(now(), Instant())).where(customer.c.key.like("erased:%"))
    op.execute(erasure.insert().from_select(["customer_id", "at"], gone))


def _forget_statistics() -> None:
    """Keep no values of personal columns, nor those kept so far: setting a type, even the same, drops them."""
    for table, columns in PERSONAL.items():
        parts = (
            f'ALTER COLUMN "{name}" TYPE {kind}, ALTER COLUMN "{name}" SET STATISTICS 0'
            for name, kind in columns.items()
        )
        op.execute(f'ALTER TABLE "{table}" {", ".join(parts)}')


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER consent_log_no_update")
        op.execute(
            "CREATE TRIGGER consent_log_no_update BEFORE UPDATE ON consent_log "
            "BEGIN SELECT RAISE(ABORT, 'consent_log is append-only'); END"
        )
    else:
        op.execute(
            "CREATE OR REPLACE FUNCTION consent_log_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'consent_log is append-only'; END $$"
        )
        for table, columns in PERSONAL.items():
            parts = (f'ALTER COLUMN "{name}" SET STATISTICS -1' for name in columns)
            op.execute(f'ALTER TABLE "{table}" {", ".join(parts)}')
    for table in ("vacuum_probe", "erased_key", "erasure"):
        op.drop_table(table)
