"""Owns what happens when a mail's pixel or link is fetched; refuses to count anybody who has not agreed to it.

One piece of feedback is an open or click of one mail (and link) in one minute by one class: a reload and a repeated
request count once, coming back an hour later counts again, and a scanner's visit never hides a person's in that minute.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mailshot.feedback import classify
from mailshot.states import PROVES_ARRIVAL, DeliveryState, FeedbackKind
from mailshot.store import feedback, ledger, links
from mailshot.store.engine import Connection


@dataclass(frozen=True, slots=True)
class Fetch:
    """A request for something in a mail: which mail, when, and how it was asked for."""

    run_id: int
    customer_id: int
    at: datetime
    method: str
    agent: str
    prefetch: bool = False


def opened(connection: Connection, fetch: Fetch) -> bool:
    """Take one load of a mail's pixel and return whether it was new."""
    return _take(connection, fetch, FeedbackKind.opened, None)


def clicked(connection: Connection, fetch: Fetch, link_id: int) -> str | None:
    """Take one visit of a mail's link and return the address to go on to, None when the link is unknown."""
    url = links.find(connection, link_id)
    if url is not None and _take(connection, fetch, FeedbackKind.clicked, link_id):
        _look_for_burst(connection, fetch)
    return url


def _take(connection: Connection, fetch: Fetch, kind: FeedbackKind, link_id: int | None) -> bool:
    met = feedback.circumstances(connection, fetch.run_id, fetch.customer_id)
    if met is None or not met.tracked:
        return False
    since_dot = (fetch.at - met.dotted_at).total_seconds() if met.dotted_at else None
    verdict = classify.classify(classify.TrackingRequest(kind, fetch.method, fetch.agent, since_dot, fetch.prefetch))
    if met.state == DeliveryState.unconfirmed and verdict.by in PROVES_ARRIVAL[kind]:
        ledger.confirm_arrival(connection, fetch.run_id, fetch.customer_id, fetch.at, f"{kind.value} by the customer")
    detail = {"agent": fetch.agent[:300]} if fetch.agent else {}
    key = f"{kind.value}:{fetch.run_id}:{link_id or ''}:{fetch.at:%Y-%m-%dT%H:%M}:{verdict.by.value}"
    piece = feedback.FeedbackEvent(
        fetch.customer_id, kind, key, fetch.at, fetch.run_id, verdict.by, verdict.why, link_id, detail
    )
    return feedback.record(connection, piece)


def _look_for_burst(connection: Connection, fetch: Fetch) -> None:
    near = feedback.clicks_around(connection, fetch.run_id, fetch.customer_id, fetch.at, classify.BURST)
    if ids := classify.burst(near):
        feedback.blame_scanner(connection, ids, f"{classify.BURST_LINKS} or more links within 2 seconds")
