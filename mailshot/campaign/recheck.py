"""Checks unsent mails against the guards of their run again, after a customer's answers or address changed.

A customer who states "vegan" after the launch gets no meat, although the plan was made before. Start at `reconsider`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from mailshot.audience.evaluate import Evaluator
from mailshot.campaign import snapshot as editions
from mailshot.campaign.snapshot import Snapshot
from mailshot.rulebook import guards as guarding
from mailshot.store import eligibility_rows, plans, profiles
from mailshot.store.engine import Connection
from mailshot.store.runs import RunRecord
from mailshot.store.worker_ledger import Claimed

Offers = list[list[int]]


def reconsider(connection: Connection, run: RunRecord, rows: Sequence[Claimed]) -> dict[int, Offers | None]:
    """Return the offers that guards still allow by customer; None for one whose mail a guard forbids."""
    edition = editions.load_frozen(connection, run.definition)
    as_of = run.as_of + (datetime.now(UTC) - run.launched_at)
    return {row.customer_id: _allowed(connection, edition, as_of, row) for row in rows}


def _allowed(connection: Connection, edition: Snapshot, as_of: datetime, row: Claimed) -> Offers | None:
    keywords = frozenset(word for guard in edition.rulebook.guards for word in guard.customers.words)
    profile = profiles.profile(connection, row.customer_id, keywords=keywords)
    answers = eligibility_rows.read_rows(connection, row.customer_id, None).answers
    judge = Evaluator(profile, as_of, edition.rulebook.company.time_zone)
    verdicts = guarding.guard_verdicts(edition.rulebook.guards, judge, answers)
    guards = [guard for guard in edition.rulebook.guards if verdicts[guard.name].holds]
    about = edition.read.about.get(row.content)
    if about is not None and any(plans.overlap(connection, about, guard.never) for guard in guards):
        return None
    facts = profiles.products(connection, [product for product, _ in row.offers])
    left = [
        [product, times]
        for product, times in row.offers
        if not any(guard.never.matches(facts[product]) for guard in guards)
    ]
    return left if left == row.offers or len(left) >= _at_least(edition, row.content) else None


def _at_least(edition: Snapshot, content: str) -> int:
    """Return how many offers a content needs."""
    campaign = edition.read.campaign
    name = next(item.offers for item in campaign.content if item.name == content)
    return campaign.offers[name].at_least if name else 0
