"""The first tables."""

import sqlalchemy as sa
from alembic import op

from mailshot.store import column_types

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "consent",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("given", sa.Boolean(), nullable=False),
        sa.Column("at", column_types.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "topic", name=op.f("pk_consent")),
    )
    op.create_table(
        "consent_log",
        sa.Column("id", column_types.RowId, nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("given", sa.Boolean(), nullable=False),
        sa.Column("at", column_types.Instant(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("proof", column_types.Json, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent_log")),
        sa.UniqueConstraint(
            "customer_id", "topic", "at", "given", name=op.f("uq_consent_log_customer_id_topic_at_given")
        ),
    )
    op.create_table(
        "customer",
        sa.Column("id", column_types.RowId, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=True),
        sa.Column("address_hash", sa.String(), nullable=True),
        sa.Column("first_name", sa.String(), nullable=True),
        sa.Column("last_name", sa.String(), nullable=True),
        sa.Column("language", sa.String(), nullable=True),
        sa.Column("country", sa.String(), nullable=True),
        sa.Column("time_zone", sa.String(), nullable=True),
        sa.Column("lot", sa.BigInteger(), nullable=False),
        sa.Column("joined_at", column_types.Instant(), nullable=True),
        sa.Column("facts", column_types.Json, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customer")),
        sa.UniqueConstraint("key", name=op.f("uq_customer_key")),
    )
    with op.batch_alter_table("customer", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_customer_address_hash"), ["address_hash"], unique=False)

    op.create_table(
        "delivery",
        sa.Column("run_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("content", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("offers", column_types.Json, nullable=True),
        sa.Column("token", sa.BigInteger(), nullable=True),
        sa.Column("lease_until", column_types.Instant(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", column_types.Instant(), nullable=True),
        sa.Column("dotted_at", column_types.Instant(), nullable=True),
        sa.Column("settled_at", column_types.Instant(), nullable=True),
        sa.Column("reply", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", "customer_id", name=op.f("pk_delivery")),
    )
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.create_index("ix_delivery_customer", ["customer_id"], unique=False)
        batch_op.create_index("ix_delivery_due", ["run_id", "state", "customer_id"], unique=False)

    op.create_table(
        "event",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("at", column_types.Instant(), nullable=False),
        sa.Column("amount", column_types.Exact(), nullable=True),
        sa.Column("facts", column_types.Json, nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "key", name=op.f("pk_event")),
    )
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_event_name"), ["name"], unique=False)

    op.create_table(
        "feedback",
        sa.Column("id", column_types.RowId, nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("at", column_types.Instant(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("link_id", sa.BigInteger(), nullable=True),
        sa.Column("detail", column_types.Json, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feedback")),
        sa.UniqueConstraint("customer_id", "key", name=op.f("uq_feedback_customer_id_key")),
    )
    with op.batch_alter_table("feedback", schema=None) as batch_op:
        batch_op.create_index("ix_feedback_run", ["run_id", "kind"], unique=False)

    op.create_table(
        "frozen",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("body", column_types.Json, nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_frozen")),
    )
    op.create_table(
        "installation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("address_key_print", sa.String(), nullable=False),
        sa.Column("created_at", column_types.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_installation")),
    )
    op.create_table(
        "lease",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("until", column_types.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_lease")),
    )
    op.create_table(
        "link",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_link")),
    )
    op.create_table(
        "plan",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("campaign", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("as_of", column_types.Instant(), nullable=False),
        sa.Column("made_at", column_types.Instant(), nullable=False),
        sa.Column("summary", column_types.Json, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plan")),
    )
    with op.batch_alter_table("plan", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_plan_campaign"), ["campaign"], unique=False)

    op.create_table(
        "plan_row",
        sa.Column("plan_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("offers", column_types.Json, nullable=True),
        sa.PrimaryKeyConstraint("plan_id", "customer_id", name=op.f("pk_plan_row")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "preference",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("holds", sa.Boolean(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("at", column_types.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "name", "value", name=op.f("pk_preference")),
    )
    op.create_table(
        "product",
        sa.Column("id", column_types.RowId, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("department", sa.String(), nullable=True),
        sa.Column("category", sa.String(), nullable=True),
        sa.Column("type", sa.String(), nullable=True),
        sa.Column("brand", sa.String(), nullable=True),
        sa.Column("size", sa.String(), nullable=True),
        sa.Column("price", column_types.Exact(), nullable=True),
        sa.Column("url", sa.String(), nullable=True),
        sa.Column("known", sa.Boolean(), nullable=False),
        sa.Column("facts", column_types.Json, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_product")),
        sa.UniqueConstraint("key", name=op.f("uq_product_key")),
    )
    with op.batch_alter_table("product", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_product_department"), ["department"], unique=False)

    op.create_table(
        "purchase",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("order_key", sa.String(), nullable=False),
        sa.Column("product_id", sa.BigInteger(), nullable=False),
        sa.Column("nth", sa.Integer(), nullable=False),
        sa.Column("at", column_types.Instant(), nullable=False),
        sa.Column("quantity", column_types.Exact(), nullable=False),
        sa.Column("amount", column_types.Exact(), nullable=False),
        sa.Column("channel", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("customer_id", "order_key", "product_id", "nth", name=op.f("pk_purchase")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "run",
        sa.Column("id", column_types.RowId, nullable=False),
        sa.Column("campaign", sa.String(), nullable=False),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("definition", sa.String(), nullable=False),
        sa.Column("at_least_once", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("as_of", column_types.Instant(), nullable=False),
        sa.Column("plan_id", sa.String(), nullable=True),
        sa.Column("schedule_id", sa.BigInteger(), nullable=True),
        sa.Column("slot", column_types.Instant(), nullable=True),
        sa.Column("launched_at", column_types.Instant(), nullable=False),
        sa.Column("finished_at", column_types.Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
        sa.UniqueConstraint("plan_id", name=op.f("uq_run_plan_id")),
        sa.UniqueConstraint("schedule_id", "slot", name=op.f("uq_run_schedule_id_slot")),
    )
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_run_campaign"), ["campaign"], unique=False)

    op.create_table(
        "schedule",
        sa.Column("id", column_types.RowId, nullable=False),
        sa.Column("campaign", sa.String(), nullable=False),
        sa.Column("definition", sa.String(), nullable=False),
        sa.Column("cron", sa.String(), nullable=True),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("next_at", column_types.Instant(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("made_at", column_types.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedule")),
    )
    with op.batch_alter_table("schedule", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_schedule_campaign"), ["campaign"], unique=False)

    op.create_table(
        "suppression",
        sa.Column("address_hash", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("at", column_types.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("address_hash", name=op.f("pk_suppression")),
    )
    op.create_table(
        "trait",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("evidence", column_types.Json, nullable=False),
        sa.Column("as_of", column_types.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "name", "value", name=op.f("pk_trait")),
    )


def downgrade() -> None:
    op.drop_table("trait")
    op.drop_table("suppression")
    with op.batch_alter_table("schedule", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_schedule_campaign"))

    op.drop_table("schedule")
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_run_campaign"))

    op.drop_table("run")
    op.drop_table("purchase")
    with op.batch_alter_table("product", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_product_department"))

    op.drop_table("product")
    op.drop_table("preference")
    op.drop_table("plan_row")
    with op.batch_alter_table("plan", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_plan_campaign"))

    op.drop_table("plan")
    op.drop_table("link")
    op.drop_table("lease")
    op.drop_table("installation")
    op.drop_table("frozen")
    with op.batch_alter_table("feedback", schema=None) as batch_op:
        batch_op.drop_index("ix_feedback_run")

    op.drop_table("feedback")
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_event_name"))

    op.drop_table("event")
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.drop_index("ix_delivery_due")
        batch_op.drop_index("ix_delivery_customer")

    op.drop_table("delivery")
    with op.batch_alter_table("customer", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_customer_address_hash"))

    op.drop_table("customer")
    op.drop_table("consent_log")
    op.drop_table("consent")
