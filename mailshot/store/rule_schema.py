"""Where the activities of customers are stored: the table of each kind, and what the rest of the store does with it.

A new word for rules with a table of its own needs: its table (`tables`, with a migration), its fields
(`profile.activity`), a row in `ACTIVITY_TABLES` and an entry in `SOURCES` here, and the columns of its import
(`ingest.fields`). Erasing, bulk loads and example rows follow from what is declared here.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Table, and_, func, literal_column

from mailshot.audience.compile import ActivitySource, CustomerTotals, JoinedColumn
from mailshot.profile import activity
from mailshot.states import DeliveryState, FeedbackKind
from mailshot.store import dialect, tables

BUYER, SUMS = dialect.table(tables.Buyer), ("first_at", "last_at", "orders", "lines", "gross", "returned_at")
PURCHASE, ORDER = dialect.table(tables.Purchase), dialect.table(tables.Order)
EVENT = dialect.table(tables.Event)
INTERACTION, REFERRAL = dialect.table(tables.Interaction), dialect.table(tables.Referral)
DELIVERY, FEEDBACK = dialect.table(tables.Delivery), dialect.table(tables.Feedback)
RUN, LINK = dialect.table(tables.Run), dialect.table(tables.Link)
SUMMARY = CustomerTotals(BUYER, **{name: BUYER.c[name] for name in SUMS}, customer=BUYER.c.customer_id)
ORDERS = ActivitySource(
    ORDER,
    ORDER.c.customer_id,
    ORDER.c.at,
    occasion=ORDER.c.order_key,
    amount=ORDER.c.amount,
    quantity=ORDER.c["items"],
    returned_at=ORDER.c.returned_at,
    summary=SUMMARY,
)


@dataclass(frozen=True, slots=True)
class ActivityTable:
    """A table whose rows are activities of customers."""

    table: Table
    #: The columns by which a bulk load recognises a row that is there already.
    key: tuple[str, ...]
    #: The columns with the id of a customer. Erasing any of these customers deletes the row.
    customers: tuple[str, ...] = ("customer_id",)
    #: Tables of totals over the rows, which are deleted with them.
    totals: tuple[Table, ...] = ()
    #: Made by sending. Erasing a customer empties such rows (`ledger.erase`, `privacy.sweep`) instead of deleting them,
    #: and a bulk load leaves those that are there as they are.
    of_ledger: bool = False


ACTIVITY_TABLES = (
    ActivityTable(PURCHASE, ("customer_id", "order_key", "product_id", "nth"), totals=(ORDER, BUYER)),
    ActivityTable(EVENT, ("customer_id", "key")),
    ActivityTable(INTERACTION, ("customer_id", "key")),
    ActivityTable(REFERRAL, ("customer_id", "referred_id"), customers=("customer_id", "referred_id")),
    ActivityTable(DELIVERY, ("run_id", "customer_id"), of_ledger=True),
    ActivityTable(FEEDBACK, ("customer_id", "key"), of_ledger=True),
)
#: The tables that an import fills, each followed by its totals.
IMPORTED_TABLES = tuple(
    table
    for activities in ACTIVITY_TABLES
    if not activities.of_ledger
    for table in (activities.table, *activities.totals)
)


def _feedback(kind: FeedbackKind) -> ActivitySource:
    """Return the feedback of one kind, with the run and the mail that it belongs to."""
    same = and_(DELIVERY.c.run_id == FEEDBACK.c.run_id, DELIVERY.c.customer_id == FEEDBACK.c.customer_id)
    ran = RUN.c.id == FEEDBACK.c.run_id
    return ActivitySource(
        FEEDBACK,
        FEEDBACK.c.customer_id,
        FEEDBACK.c.at,
        fields={
            "campaign": JoinedColumn(RUN.c.campaign, RUN, ran),
            "topic": JoinedColumn(RUN.c.topic, RUN, ran),
            "content": JoinedColumn(DELIVERY.c.content, DELIVERY, same),
            "by": FEEDBACK.c.by,
            "link": JoinedColumn(LINK.c.url, LINK, LINK.c.id == FEEDBACK.c.link_id),
        },
        only=(FEEDBACK.c.kind == kind.value,),
    )


SOURCES = {
    activity.BOUGHT.keyword: ActivitySource(
        PURCHASE,
        PURCHASE.c.customer_id,
        PURCHASE.c.at,
        fields={"channel": PURCHASE.c.channel},
        occasion=PURCHASE.c.order_key,
        product=PURCHASE.c.product_id,
        amount=PURCHASE.c.amount,
        quantity=PURCHASE.c.quantity,
        imported=(PURCHASE.c.nth < tables.FIRST_PART,),
        returned_at=PURCHASE.c.returned_at,
        summary=SUMMARY,
        coarse=ORDERS,
    ),
    activity.RETURNED.keyword: ActivitySource(
        PURCHASE,
        PURCHASE.c.customer_id,
        PURCHASE.c.at,
        fields={"channel": PURCHASE.c.channel},
        occasion=PURCHASE.c.order_key,
        product=PURCHASE.c.product_id,
        amount=func.abs(PURCHASE.c.amount, type_=PURCHASE.c.amount.type),
        quantity=-PURCHASE.c.quantity,
        # The first, word for word, leads to the index of such lines.
        only=(PURCHASE.c.quantity <= literal_column("0"), PURCHASE.c.quantity < literal_column("0")),
    ),
    activity.DID.keyword: ActivitySource(
        EVENT,
        EVENT.c.customer_id,
        EVENT.c.at,
        fields={"event": EVENT.c.name},
        product=EVENT.c.product_id,
        amount=EVENT.c.amount,
    ),
    activity.RECEIVED.keyword: ActivitySource(
        DELIVERY,
        DELIVERY.c.customer_id,
        DELIVERY.c.settled_at,
        fields={
            "campaign": JoinedColumn(RUN.c.campaign, RUN, RUN.c.id == DELIVERY.c.run_id),
            "topic": JoinedColumn(RUN.c.topic, RUN, RUN.c.id == DELIVERY.c.run_id),
            "content": DELIVERY.c.content,
        },
        only=(DELIVERY.c.state == DeliveryState.sent,),
    ),
    activity.OPENED.keyword: _feedback(FeedbackKind.opened),
    activity.CLICKED.keyword: _feedback(FeedbackKind.clicked),
    activity.CONVERTED.keyword: _feedback(FeedbackKind.converted),
    activity.CONTACTED.keyword: ActivitySource(
        INTERACTION,
        INTERACTION.c.customer_id,
        INTERACTION.c.at,
        fields={name: INTERACTION.c[name] for name in ("kind", "direction", "outcome")},
    ),
    activity.REFERRED.keyword: ActivitySource(
        REFERRAL, REFERRAL.c.customer_id, REFERRAL.c.at, fields={"source": REFERRAL.c.source}
    ),
    activity.WAS_REFERRED.keyword: ActivitySource(
        REFERRAL, REFERRAL.c.referred_id, REFERRAL.c.at, fields={"source": REFERRAL.c.source}
    ),
}
