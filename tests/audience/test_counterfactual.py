"""Checks which changes are reported as needed for a customer to match."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from mailshot import documents
from mailshot.audience.counterfactual import Counterfactual
from mailshot.audience.evaluate import Evaluator
from mailshot.audience.registry import AudienceRegistry
from mailshot.profile.customer import Activity, Profile
from tests.support.conditions import VOCABULARY

AS_OF = datetime(2026, 4, 7, 12, tzinfo=UTC)


def _line(days: int, amount: str = "5") -> Activity:
    at = AS_OF - timedelta(days=days)
    return Activity(f"o{days}", at, {}, {"key": "p", "department": "Lit-a"}, Decimal(amount), Decimal(1))


WHO = Profile(
    id=1,
    lot=1,
    facts={"country": "SE", "age": 20},
    histories={"bought": (_line(40), _line(10))},
    consents={"offers": False},
)
CHANGES = {
    "more times": ("bought: {times: {at_least: 5}}", "3 times more"),
    "more money": ("bought: {amount: {at_least: 12.5}}", "2.50 amount more"),
    "less": ("bought: {times: {at_most: 1}}", "once less"),
    "once": ("bought: {within: 5 days}", "once is enough"),
    "waiting": ("never_bought: {within: 30 days}", "true from 2026-04-28 on without further activity"),
    "silence": ("bought: {days_since_last: {at_least: 30}}", "so on 2026-04-27, if nothing comes before"),
    "the past": ("bought: {between: [2020-01-01, 2020-12-31]}", "bought any product"),
    "a fact": ("country: NO", "country is NO (now: SE)"),
    "a random share": ("share: 0%", "assigned at random, fixed per customer"),
    "fewest of several": ("any: [{all: [{country: NO}, {consent: recipes}]}, {consent: offers}]", "consents to offers"),
    "a denial": ("not: {any: [{country: SE}, {country: NO}]}", "not country is SE"),
    "a count": ("{at_least: 2, of: [{country: NO}, {share: 0%}, {bought: {}}]}", "country is NO"),
}


@pytest.mark.parametrize(("rule", "message"), CHANGES.values(), ids=CHANGES)
def test_the_needed_change_is_reported(rule: str, message: str) -> None:
    document = documents.parse_document(f"audience: a\nwho:\n  {rule}", "a.yaml")
    condition = AudienceRegistry([document], VOCABULARY).audience("a").condition
    changes = Counterfactual(Evaluator(WHO, AS_OF, ZoneInfo("UTC"))).changes(condition)
    assert len(changes) == 1
    assert message in changes[0].words()
