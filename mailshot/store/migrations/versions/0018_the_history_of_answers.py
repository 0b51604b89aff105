"""Keep every answer of a customer, so that a look back sees what had been said by then."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

from mailshot.store.column_types import Instant

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

PERSONAL = ("source", "by", "note")
PAGE = "preference page"
MESSAGE = "answer is append-only"


def upgrade() -> None:
    text = sqlmodel.sql.sqltypes.AutoString
    answer = op.create_table(
        "answer",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("question", text(), nullable=False),
        sa.Column("value", text(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("state", text(), nullable=False),
        sa.Column("source", text(), nullable=False),
        sa.Column("by", text(), nullable=True),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column("note", text(), nullable=True),
        sa.PrimaryKeyConstraint("customer_id", "question", "value", "at", "state", name=op.f("pk_answer")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_answer_question", "answer", ["question", "value", "customer_id", "at", "state"])
    _copy_preferences(answer)
    _refuse_changes()
    if op.get_bind().dialect.name == "postgresql":
        # The planner keeps no samples of what could be personal.
        for name in PERSONAL:
            op.execute(f'ALTER TABLE answer ALTER COLUMN "{name}" SET STATISTICS 0')


def _copy_preferences(answer: sa.Table) -> None:
    """Begin the history of each customer with what counts now: earlier answers were not kept."""
    names = ("customer_id", "name", "value", "holds", "source", "at")
    preference = sa.table("preference", *map(sa.column, names)).c
    state = sa.case((preference.holds.is_(sa.true()), "yes"), else_="no")
    by = sa.case((preference.source == PAGE, "customer"))
    kept = sa.select(
        preference.customer_id, preference.name, preference.value, preference.at, state, preference.source, by
    )
    columns = ["customer_id", "question", "value", "at", "state", "source", "by"]
    op.execute(answer.insert().from_select(columns, kept))


def _refuse_changes() -> None:
    """Let the database itself refuse to change the history; only an erasure may delete it."""
    erased = "EXISTS (SELECT 1 FROM erasure WHERE customer_id = OLD.customer_id)"
    if op.get_bind().dialect.name == "sqlite":
        raising = f"BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END"
        op.execute(f"CREATE TRIGGER answer_no_update BEFORE UPDATE ON answer {raising}")
        op.execute(f"CREATE TRIGGER answer_no_delete BEFORE DELETE ON answer WHEN NOT {erased} {raising}")
        return
    op.execute(
        "CREATE FUNCTION answer_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN IF TG_OP = 'DELETE' THEN IF {erased} THEN RETURN OLD; END IF; END IF; "
        f"RAISE EXCEPTION '{MESSAGE}'; END $$"
    )
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER answer_no_{change.lower()} BEFORE {change} ON answer "
            "FOR EACH ROW EXECUTE FUNCTION answer_append_only()"
        )


def downgrade() -> None:
    op.drop_table("answer")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION answer_append_only()")
