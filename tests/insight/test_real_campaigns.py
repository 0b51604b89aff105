"""Past campaigns on real data: conversions, uplift and revenue are those of SQL over the files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import sqrt
from pathlib import Path

import duckdb
import pytest

from mailshot.bootstrap import App
from mailshot.insight import report
from tests.support import complete_journey
from tests.support.complete_journey import DATA, TODAY, ZONE, Retailer
from tests.support.conversions_by_sql import GroupResults, Oracle
from tests.support.project import Shop

pytestmark = pytest.mark.skipif(DATA is None, reason="the example data is not installed")
LATE = ("purchases", "events")


@pytest.fixture
def shop(store: object, tmp_path: Path) -> Shop:
    return Shop.open(store, tmp_path / "shop")  # type: ignore[arg-type]


@pytest.mark.parametrize("purchases_first", [True, False], ids=["purchases first", "mails first"])
def test_every_conversion_is_that_of_the_files(
    shop: Shop, app: Callable[..., App], tmp_path: Path, purchases_first: bool
) -> None:
    complete_journey.copy_share(tmp_path / "data", 24)
    relive(shop, app(), tmp_path / "data", purchases_first)


@pytest.mark.torture
@pytest.mark.timeout(1800)
def test_every_conversion_of_all_households(shop: Shop, app: Callable[..., App], tmp_path: Path) -> None:
    complete_journey.copy_share(tmp_path / "data", 1)
    relive(shop, app(), tmp_path / "data", purchases_first=False)


def relive(shop: Shop, app: App, folder: Path, purchases_first: bool) -> None:
    """Let everything happen in one of two orders, then twice, then with returns, and compare after each step."""
    retailer = Retailer.open(shop, folder)
    retailer.load(lambda kind: kind not in LATE)
    if purchases_first:
        retailer.load(lambda kind: kind in LATE)
    retailer.mail(app)
    oracle = Oracle(folder, retailer.goals())
    if purchases_first:
        oracle.happened(retailer.mails(), [])
        agree(retailer, oracle)
    clicks = retailer.click()
    oracle.happened(retailer.mails(), clicks)
    for _ in range(2):
        retailer.load(lambda kind: kind in LATE)
        agree(retailer, oracle)
    back = complete_journey.bring_back(folder)
    fewer = Oracle(folder, retailer.goals(), back)
    fewer.happened(retailer.mails(), clicks)
    assert len(fewer.conversions()) < len(oracle.conversions())
    retailer.load(lambda kind: kind == "purchases", "returns")
    agree(retailer, fewer)
    print(f"{len(retailer.mails())} mails, {len(clicks)} clicks, {len(oracle.conversions())} conversions; ", end="")
    print(f"{len(fewer.conversions())} after {len(back)} baskets were brought back")
    agree_on_redemptions(retailer)


def agree(retailer: Retailer, oracle: Oracle) -> None:
    """Compare every conversion, and the report of every campaign."""
    expected = oracle.conversions()
    assert retailer.conversions() == expected
    assert expected
    people = Counter(campaign for _, campaign in {row[:2] for row in expected})
    results = oracle.results(TODAY)
    assert results.keys() == retailer.runs.keys()
    for number, run_id in retailer.runs.items():
        today = TODAY.replace(tzinfo=ZONE)
        line = report.select_run(report.summaries(retailer.shop.store, today, f"again {number}"), run_id)
        details = report.load_report(retailer.shop.store, line, today)
        mailed, held = details.mailed, details.held
        shown = GroupResults(mailed.customers, mailed.buyers, held.customers, held.buyers, mailed.spent)
        assert (line.converted, shown) == (people[number], results[number]), number
        if results[number].held_out:
            uplift = (details.uplift.difference, details.uplift.low, details.uplift.high)
            assert uplift == pytest.approx(newcombe(results[number])), number


def agree_on_redemptions(retailer: Retailer) -> None:
    """The campaigns as they were imported: whoever redeemed a coupon converted."""
    with duckdb.connect() as db:
        redeemed = dict(
            db.execute(
                "select campaign_id, count(distinct household_id)"
                f" from '{retailer.folder / 'coupon_redemptions.parquet'}' group by all"
            ).fetchall()
        )
    lines = report.summaries(retailer.shop.store, TODAY.replace(tzinfo=ZONE))
    imported = {int(line.campaign.removeprefix("campaign-")): line.converted for line in lines if line.state == "past"}
    assert imported == {number: redeemed.get(number, 0) for number in range(1, 28)}


def newcombe(results: GroupResults) -> tuple[float, float, float]:
    """Return the difference of two shares and its interval: Newcombe 1998, method 10, as the paper has it."""
    z = 1.959963984540054

    def limits(hits: int, of: int) -> tuple[float, float, float]:
        root = z * sqrt(z * z + 4 * hits * (1 - hits / of))
        return hits / of, (2 * hits + z * z - root) / (2 * (of + z * z)), (2 * hits + z * z + root) / (2 * (of + z * z))

    p1, l1, u1 = limits(results.mailed_reached, results.mailed)
    p2, l2, u2 = limits(results.held_out_reached, results.held_out)
    below, above = sqrt((p1 - l1) ** 2 + (u2 - p2) ** 2), sqrt((u1 - p1) ** 2 + (p2 - l2) ** 2)
    return p1 - p2, p1 - p2 - below, p1 - p2 + above
