"""Checks that the next step which a command names is one that works."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailshot.campaign import preview
from mailshot.cli import campaigns
from mailshot.store.engine import Store
from tests.support.campaigns import WEEK, add, edition, open_shop, planned, write
from tests.support.project import Shop


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    return open_shop(store, tmp_path / "shop")


def test_a_plan_without_mails_names_no_step_that_is_refused(shop: Shop) -> None:
    assert "has not been planned" in str(preview.no_mail(shop.store, edition(shop)))
    assert "mailshot import" in campaigns.next_step(planned(shop))
    add(shop, "a", country="DK")
    made = planned(shop)
    step = campaigns.next_step(made)
    why = "to see why for one customer: mailshot rules explain 'week' CUSTOMER"
    assert step == f"all customers in the audience are left out; {why}"
    refused = preview.no_mail(shop.store, edition(shop))
    assert str(refused).startswith(f"Plan {made.id} of 'week' contains no mail.")
    assert "mailshot plan" not in refused.remedy
    write(shop, "rules/audiences/all.yaml", "audience: all\nwho: {country: SE}\n")
    assert campaigns.next_step(planned(shop)).startswith("the audience is empty")
    write(shop, "rules/campaigns/week.yaml", f"{WEEK}schedule: {{cron: '0 9 * * 1'}}\nrepeat: yes\n")
    assert "To schedule anyway: mailshot launch 'week' --plan" in campaigns.next_step(planned(shop))


def test_a_plan_with_mails_is_previewed_and_launched(shop: Shop) -> None:
    add(shop, "a", country="NO")
    made = planned(shop)
    assert campaigns.next_step(made) == f"mailshot preview 'week', then: mailshot launch 'week' --plan {made.id}"
