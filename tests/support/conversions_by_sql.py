"""Conversions, uplift and revenue by SQL over the Parquet files, written from docs/rules.md and not from our code.

All moments are on the clock of the shop's wall, as the files have them. The tables that the queries need beside the
files are what happened here: who was mailed by which campaign and when (`mail`), and who clicked (`click`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import duckdb

FILES = ("transactions", "products", "coupon_redemptions")
# The hour that the clocks skipped in March 2017 has baskets, too: they were bought an hour later by the wall's clock.
# A line counts as bought if it has goods, or money for goods whose weight was rounded to 0; returned baskets do not.
BOUGHT = """
create view bought as
select household_id as household, basket_id as key, product_id, sales_value::decimal(18, 4) as amount,
    case when transaction_timestamp >= '2017-03-12 02:00' and transaction_timestamp < '2017-03-12 03:00'
        then transaction_timestamp + interval 1 hour else transaction_timestamp end as moment
from transactions
where (quantity > 0 or quantity = 0 and sales_value > 0)
    and not (quantity > 0 and basket_id in (select basket_id from returned))
"""
# What may be an answer to a mail, by the goal of the campaign: any purchase, one of its departments, or a coupon. Each
# row of the redemptions is one event; a coupon that two campaigns handed out has one for each.
ANSWERS = """
create view answer as
select campaign, household, 'order' as kind, key::text as key, moment, amount
from bought join goal on goal.kind = 'any'
union all
select campaign, household, 'order', key::text, moment, amount
from bought join products using (product_id) join goal on goal.kind = 'products' and department in ('PRODUCE', 'MEAT')
union all
select campaign, household_id, 'event', concat_ws(' ', campaign_id, coupon_upc, redemption_date), redemption_date, 0
from coupon_redemptions join goal on goal.kind = 'event'
"""
# The moment of an order is that of its first line that counts.
CONVERSIONS = """
with claim as (
    select campaign, household, answer.kind, key, min(moment) as moment, min(sent) as sent
    from answer join mail using (campaign, household) join goal using (campaign)
    where not held_out and moment >= sent and moment < sent + span
    group by campaign, household, answer.kind, key
), clicked as (
    select claim.*, max(click.moment) as clicked
    from claim left join click on click.campaign = claim.campaign and click.household = claim.household
        and click.moment <= claim.moment
    group by all
)
select household, campaign, moment, clicked is not null
from clicked
qualify row_number() over (partition by household, kind, key order by clicked is null, coalesce(clicked, sent) desc) = 1
"""
RESULTS = """
with reached as (
    select campaign, household, sum(amount) as amount
    from answer join goal using (campaign)
    where moment >= today and moment < today + span and moment <= ?
    group by campaign, household
), grouped as (
    select campaign, count(*) filter (not held_out) as n1, count(reached.household) filter (not held_out) as x1,
        count(*) filter (held_out) as n0, count(reached.household) filter (held_out) as x0,
        sum(reached.amount) filter (not held_out) as revenue
    from mail left join reached using (campaign, household) group by campaign
)
select campaign, n1, x1, n0, x0, coalesce(revenue, 0) from grouped
"""


@dataclass(frozen=True, slots=True)
class Goal:
    """A campaign's goal: its kind (any, products, event), its span as an interval, and the run's "today"."""

    campaign: int
    kind: str
    span: str
    today: datetime


@dataclass(frozen=True, slots=True)
class Mail:
    campaign: int
    household: int
    sent: datetime
    held_out: bool


@dataclass(frozen=True, slots=True)
class GroupResults:
    """Households of a campaign, and how many of them reached its goal, mailed and held out; what the mailed paid."""

    mailed: int
    mailed_reached: int
    held_out: int
    held_out_reached: int
    revenue: Decimal


class Oracle:
    """The Parquet files of a folder, and what Mailshot did, as tables."""

    def __init__(self, folder: Path, goals: Iterable[Goal], returned: Iterable[int] = ()) -> None:
        self._db = duckdb.connect()
        for name in FILES:
            self._db.execute(f"create view {name} as from read_parquet('{folder / name}.parquet')")
        self._db.execute("create table goal (campaign bigint, kind text, span interval, today timestamp)")
        self._db.execute("create table mail (campaign bigint, household bigint, sent timestamp, held_out bool)")
        self._db.execute("create table click (campaign bigint, household bigint, moment timestamp)")
        self._db.execute("create table returned as select unnest(?::bigint[]) as basket_id", [list(returned)])
        self._db.execute(BOUGHT)
        self._db.execute(ANSWERS)
        self._insert("goal", [(goal.campaign, goal.kind, goal.span, goal.today) for goal in goals])

    def happened(self, mails: Iterable[Mail], clicks: Iterable[tuple[int, int, datetime]]) -> None:
        """Take the ledger and the clicks (campaign, household, moment), instead of those of an earlier call."""
        self._db.execute("delete from mail")
        self._db.execute("delete from click")
        self._insert("mail", [(mail.campaign, mail.household, mail.sent, mail.held_out) for mail in mails])
        self._insert("click", list(clicks))

    def conversions(self) -> list[tuple[int, int, datetime, bool]]:
        """Return every conversion as (household, campaign with the credit, moment, whether it follows a click)."""
        return sorted(self._db.execute(CONVERSIONS).fetchall())

    def results(self, today: datetime) -> dict[int, GroupResults]:
        """Return the figures of every campaign, as known at `today`."""
        return {row[0]: GroupResults(*row[1:]) for row in self._db.execute(RESULTS, [today]).fetchall()}

    def _insert(self, table: str, rows: list[tuple[object, ...]]) -> None:
        if rows:
            self._db.executemany(f"insert into {table} values ({', '.join('?' * len(rows[0]))})", rows)
