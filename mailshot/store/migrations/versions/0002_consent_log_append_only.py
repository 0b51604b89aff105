"""Let the database itself refuse to change the log of consents."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

CHANGES = {"no_update": "UPDATE", "no_delete": "DELETE"}


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for name, change in CHANGES.items():
            op.execute(
                f"CREATE TRIGGER consent_log_{name} BEFORE {change} ON consent_log "
                "BEGIN SELECT RAISE(ABORT, 'consent_log is append-only'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION consent_log_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'consent_log is append-only'; END $$"
    )
    for name, change in CHANGES.items():
        op.execute(
            f"CREATE TRIGGER consent_log_{name} BEFORE {change} ON consent_log "
            "FOR EACH ROW EXECUTE FUNCTION consent_log_append_only()"
        )


def downgrade() -> None:
    for name in CHANGES:
        on = "" if op.get_bind().dialect.name == "sqlite" else " ON consent_log"
        op.execute(f"DROP TRIGGER consent_log_{name}{on}")
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION consent_log_append_only()")
