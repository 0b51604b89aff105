"""Owns where each kind of happening lies among the tables; refuses to ask any of them."""

from __future__ import annotations

from sqlalchemy import and_, func, literal_column

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


def _feedback(kind: FeedbackKind) -> ActivitySource:
    """What came back, with the run and the mail it came back for."""
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
