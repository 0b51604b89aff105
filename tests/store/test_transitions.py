"""Checks who moves between two rules, two plans, a run and a plan: against plain Python, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings

from mailshot.audience.evaluate import Evaluator
from mailshot.audience.nodes import Condition
from mailshot.audience.registry import Audience
from mailshot.campaign import launch, plan, plan_diff, rule_diff
from mailshot.campaign.plan_diff import OUTSIDE, CompareTo, PlanDiff
from mailshot.campaign.watch import LiveCount
from mailshot.errors import InvalidInput, NotFound, Refused
from mailshot.profile import returns
from mailshot.rulebook.rulebook import Rulebook
from mailshot.rulebook.versions import Version
from mailshot.store import audiences, dialect, profiles, tables, transitions
from mailshot.store.engine import Store
from mailshot.store.transitions import MAIL
from tests.support.campaigns import NOW, WEEK, add, buy, edition, everybody, open_shop, planned, state, write
from tests.support.conditions import AS_OF, CONDITIONS
from tests.support.population import ZONE, Population, populations
from tests.support.project import Shop

YEAR = timedelta(days=365)


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    return open_shop(store, tmp_path / "shop")


@pytest.fixture
def both(sqlite_url: str, postgres_url: str) -> Iterator[list[Store]]:
    stores = [Store.open(sqlite_url), Store.open(postgres_url)]
    yield stores
    for store in stores:
        store.close()


@given(populations(), CONDITIONS, CONDITIONS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_sets_money_and_examples_are_those_of_plain_python(
    both: list[Store], population: Population, old: Condition, new: Condition
) -> None:
    for store in both:
        with store.engine.connect().execution_options(write=True) as connection, connection.begin() as transaction:
            population.put(connection)
            people = [profiles.profile(connection, customer) for customer in population.ids]
            compiled = audiences.with_statistics(connection, audiences.compiler(AS_OF, ZONE))
            sets = [transitions.audience_outcomes(compiled, condition) for condition in (old, new)]
            moved = {
                (move.was, move.now): (move.customers, move.spent, move.examples)
                for move in transitions.moves(connection, sets[0], sets[1], (AS_OF - YEAR, AS_OF), 2)
            }
            transaction.rollback()
        ways: dict[tuple[str | None, str | None], list[tuple[Decimal, int]]] = {}
        for who in people:
            was, now = (
                MAIL if Evaluator(who, AS_OF, ZONE).verdict(condition).holds else None for condition in (old, new)
            )
            bought = (line for line in returns.kept_purchases(who.histories["bought"]) if line.stands(AS_OF))
            spent = sum((line.amount or Decimal() for line in bought if AS_OF - YEAR <= line.at < AS_OF), Decimal())
            if was or now:
                ways.setdefault((was, now), []).append((-spent, who.id))
        assert moved == {
            way: (len(some), Decimal(0), ())
            if way[0] == way[1]
            else (len(some), -sum(spent for spent, _ in some), tuple(who for _, who in sorted(some)[:2]))
            for way, some in ways.items()
        }, store.engine.dialect.name


def version(shop: Shop, label: str, **changed: str) -> Version:
    """Return the shop's rules with some files put in place of theirs; an empty text takes one away."""
    texts = {**Rulebook.load(shop.folder).freeze(), **{f"rules/{name}.yaml": text for name, text in changed.items()}}
    return Version(label, Rulebook.thaw({path: text for path, text in texts.items() if text}), {})


def compared(shop: Shop, only: str | None = None, most: int = 5, **changed: str) -> rule_diff.Diff:
    return rule_diff.compare_versions(
        shop.store, version(shop, "old"), version(shop, "new", **changed), None, NOW, only, most
    )


NORDIC = {"audiences/all": "audience: all\nwho: {country: [SE, DK]}\n"}


def test_the_customers_who_leave_an_audience_are_listed_with_the_reason(shop: Shop) -> None:
    for key, country in (("a", "NO"), ("b", "SE"), ("c", "NO")):
        buy(shop.store, add(shop, key, country=country), {1: ord(key) - ord("a") + 1})
    diff = compared(shop, **NORDIC)
    assert [(change.kind, change.name) for change in diff.changes] == [("audience", "all"), ("campaign", "week")]
    for change in diff.changes:
        assert (change.before, change.after, change.entered.customers) == (3, 1, 0)
        assert (change.left.customers, change.left.spent) == (2, Decimal("10.00"))
        assert change.causes == ("its rule",)
    # Who spends most is named first.
    examples = tuple((key, "not now: country is one of SE, DK (NO)") for key in "ca")
    assert diff.changes[0].left.examples == examples
    assert [change.repeated for change in diff.changes] == [False, True]
    assert diff.unchanged == {"audience": ["everyone"], "campaign": []}
    assert compared(shop, most=1, **NORDIC).changes[0].left.examples == examples[:1]
    assert compared(shop, most=0, **NORDIC).changes[0].left.examples == ()


def test_an_empty_shop_has_no_moves(shop: Shop) -> None:
    diff = compared(shop, **NORDIC)
    assert [(change.before, change.after) for change in diff.changes] == [(0, 0), (0, 0)]
    assert compared(shop).changes == ()


def test_audiences_of_one_version_only_are_reported_so(shop: Shop) -> None:
    who = add(shop, "a", country="NO")
    buy(shop.store, who, {1: 2})
    diff = compared(shop, **{"audiences/everyone": "", "audiences/x": "audience: x\nwho: {country: 'NO'}\n"})
    assert {change.name: (change.before, change.after) for change in diff.changes} == {
        "x": (None, 1),
        "everyone": (1, None),
    }
    new, gone = diff.changes
    assert (new.entered.customers, new.entered.spent, new.entered.examples) == (1, Decimal("5.00"), ())
    assert (gone.left.customers, gone.causes) == (1, ())


SURROUNDINGS = {
    "group": (
        {"products": "meat: {department: MEAT}\n", "audiences/all": "audience: all\nwho: {bought: {group: meat}}\n"},
        {"products": "meat: {department: GREEN}\n"},
        ("group 'meat'",),
        (0, 1),
    ),
    "today": (
        {"audiences/all": "audience: all\nwho: {bought: {within: 7 days}}\n"},
        {"company": "time_zone: America/New_York\nas_of: 2026-08-01\nlink_hosts: [shop.example]\n"},
        ("today 2026-06-01 05:00 EDT -> 2026-08-01 00:00 EDT",),
        (1, 0),
    ),
    "zone": (
        {"audiences/all": "audience: all\nwho: {bought: {since: 2026-05-29}}\n"},
        {"company": "time_zone: Pacific/Honolulu\nlink_hosts: [shop.example]\n"},
        ("time zone America/New_York -> Pacific/Honolulu",),
        (1, 0),
    ),
    "audience": (
        {"audiences/all": "audience: all\nwho: {audience: everyone}\n"},
        {"audiences/everyone": "audience: everyone\nwho: {country: SE}\n"},
        ("audience 'everyone'",),
        (1, 0),
    ),
}


@pytest.mark.parametrize("what", SURROUNDINGS)
def test_an_unchanged_file_reports_what_changed_elsewhere(shop: Shop, what: str) -> None:
    written, changed, causes, sizes = SURROUNDINGS[what]
    for name, text in written.items():
        write(shop, f"rules/{name}.yaml", text)
    buy(shop.store, add(shop, "a", country="NO"), {1: 1}, at=NOW.replace(month=5, day=29, hour=5))
    change = next(change for change in compared(shop, **changed).changes if change.name == "all")
    assert (change.causes, (change.before, change.after)) == (causes, sizes)
    moved = change.entered if sizes == (0, 1) else change.left
    assert [key for key, _ in moved.examples] == ["a"]


def test_another_audience_of_a_campaign_is_reported(shop: Shop) -> None:
    add(shop, "a", consent=False)
    diff = compared(shop, **{"campaigns/week": WEEK.replace("audience: all", "audience: everyone")})
    (change,) = diff.changes
    assert (change.name, change.before, change.after, change.repeated) == ("week", 1, 0, False)
    assert change.causes == ("audience 'all' -> 'everyone'",)
    assert change.left.examples == (("a", "not now: consents to offers (withdrawn)"),)
    assert diff.unchanged["audience"] == ["all", "everyone"]


def test_one_audience_is_compared_alone_whatever_the_others_are(shop: Shop) -> None:
    diff = compared(shop, "all", **NORDIC, **{"audiences/everyone": "audience: everyone\nwho: {contry: SE}\n"})
    assert [change.name for change in diff.changes] == ["all"]
    with pytest.raises(NotFound, match="Neither version has an audience 'al'"):
        compared(shop, "al")


def test_invalid_rules_are_reported_with_their_version_and_places(shop: Shop) -> None:
    broken = {
        "audiences/everyone": "audience: everyone\nwho: {contry: SE}\n",
        "campaigns/week": WEEK.replace("topic: offers", "topic: ofers"),
    }
    with pytest.raises(InvalidInput) as caught:
        compared(shop, **broken)
    assert str(caught.value).startswith("The rules after (new) have errors:\nrules/audiences/everyone.yaml:2:7: ")
    assert "rules/campaigns/week.yaml:2:8: unknown topic 'ofers'" in str(caught.value)
    with pytest.raises(InvalidInput, match=r"The rules before \(old\) have errors"):
        rule_diff.compare_versions(shop.store, version(shop, "old", **broken), version(shop, "new"), None, NOW, None, 5)


def between(shop: Shop, against: str | None = None, days: float = 0) -> PlanDiff | None:
    now = NOW + timedelta(days=days)
    return plan.make_plan(shop.store, edition(shop), now, now, CompareTo(against)).moves


def moves_of(diff: PlanDiff | None) -> dict[tuple[str, str], tuple[str, tuple[str, ...]]]:
    assert diff is not None
    return {(move.was, move.now): (move.kind, tuple(sorted(move.examples))) for move in diff.moves}


def test_a_plan_reports_who_moved_from_what_to_what(shop: Shop) -> None:
    who = everybody(shop)
    assert between(shop) is None
    add(shop, "m", country="SE")
    write(shop, "rules/campaigns/week.yaml", WEEK.replace('country: "NO"', "country: DK"))
    with shop.store.write() as connection:
        consent = dialect.table(tables.Consent)
        connection.execute(consent.update().where(consent.c.customer_id == who["green"]).values(given=False))
    diff = between(shop, days=0.1)
    assert moves_of(diff) == {
        (OUTSIDE, "no offers"): ("entered", ("m",)),
        ("mail 'meat'", "no content"): ("reason", ("k",)),
        ("mail 'green'", "no consent"): ("reason", ("l",)),
        ("no content", "mail 'meat'"): ("reason", ("e",)),
        **{(name, "no content"): ("reason", (key,)) for name, key in
           (("guard", "f"), ("already received", "g"), ("frequency cap", "h"), ("holdout", "i"))},
    }  # fmt: skip
    assert diff is not None
    assert (diff.stayed, diff.moves[0].customers) == (5, 1)
    spent = next(move.spent for move in diff.moves if move.was == "mail 'green'")
    assert spent == Decimal("15.00")


def test_another_content_and_leaving_are_moves(shop: Shop) -> None:
    a, b = add(shop, "a", country="SE"), add(shop, "b", country="NO")
    buy(shop.store, a, {1: 1})
    planned(shop)
    write(shop, "rules/campaigns/week.yaml", WEEK.replace("when: {country: SE}", 'when: {country: "NO"}').replace(
        'when: {country: "NO"}, template: hello, about', "when: {country: SE}, template: hello, about"))  # fmt: skip
    buy(shop.store, b, {1: 1})
    assert moves_of(between(shop, days=0.1)) == {
        ("mail 'green'", "mail 'meat'"): ("content", ("a",)),
        ("mail 'meat'", "mail 'green'"): ("content", ("b",)),
    }
    write(shop, "rules/audiences/all.yaml", "audience: all\nwho: {country: SE}\n")
    assert moves_of(between(shop, days=0.2)) == {("mail 'green'", OUTSIDE): ("left", ("b",))}


def test_a_plan_is_compared_with_a_run(shop: Shop) -> None:
    everybody(shop)
    planned(shop)
    run_id = launch.launch_plan(shop.store, edition(shop), NOW, NOW).run_id
    expected = {("mail 'meat'", "already received"): ("reason", ("k",)),
                ("mail 'green'", "already received"): ("reason", ("l",))}  # fmt: skip
    for asked in (None, f"run {run_id}", f"run{run_id}", str(run_id), "run", "Run"):
        diff = between(shop, asked, days=8)
        # 'h' had another campaign's mail a week ago, and a week later may have this one.
        assert moves_of(diff) == {**expected, ("frequency cap", "mail 'meat'"): ("reason", ("h",))}, asked
        assert (diff is not None and diff.since.startswith("run ")) is (asked is not None)


def test_comparing_with_an_unknown_plan_fails_and_plans_nothing(shop: Shop) -> None:
    add(shop, "a", country="NO")
    with pytest.raises(NotFound, match="has no run"):
        between(shop, "run")
    made = []
    for number in range(3):
        write(shop, "rules/campaigns/week.yaml", f"{WEEK}description: {number}\n")
        made.append(planned(shop, NOW + timedelta(minutes=number)).id)
    write(shop, "rules/campaigns/week.yaml", f"{WEEK}description: last\n")
    for asked, error, message in (
        ("nonsense", NotFound, "has no plan 'nonsense'"),
        ("run 77", NotFound, "has no run 77"),
        (made[0], Refused, "no longer kept"),
    ):
        with pytest.raises(error, match=message):
            between(shop, asked)
    with shop.store.read() as connection:
        newest = plan_diff.plans.latest_plan(connection, "week")
    assert newest is not None
    assert newest.id == made[2]
    # The last but one is there until the new one is kept.
    assert moves_of(between(shop, made[1], days=0.1)) == {}
    with pytest.raises(Refused, match="cannot be compared with itself"):
        between(shop, planned(shop, NOW + timedelta(days=0.2)).id)


def test_only_audiences_with_another_meaning_are_counted_again(shop: Shop) -> None:
    add(shop, "a", country="NO")
    ticks = iter(range(100))
    recount = LiveCount(shop.store, NOW, lambda: next(ticks))

    def look() -> list[tuple[str, int | None, int | None, float]]:
        rules, problems = Rulebook.load_valid(shop.folder)
        rules.book.valid_audiences()
        problems += rules.book.problems
        return [(news.name, news.before, news.after, news.seconds) for news in recount.look(rules, problems)]

    assert look() == [("all", None, 1, 1), ("everyone", None, 1, 1)]
    assert look() == []
    write(shop, "rules/audiences/all.yaml", "# who\naudience: all\nwho: {everyone: yes}\n")
    assert look() == []
    write(shop, "rules/audiences/all.yaml", "audience: all\nwho: {country: SE}\n")
    assert look() == [("all", 1, 0, 1)]
    for half in ("", "audience: all\nwho: {country: ", "audience: all\nwho: {contry: SE}\n"):
        write(shop, "rules/audiences/all.yaml", half)
        assert look() == []
    write(shop, "rules/audiences/all.yaml", "audience: all\nwho: {country: 'NO'}\n")
    assert look() == [("all", 0, 1, 1)]
    (shop.folder / "rules/audiences/all.yaml").unlink()
    assert look() == [("all", 1, None, 0)]


def test_a_campaign_is_compared_as_of_its_own_today(shop: Shop) -> None:
    text = WEEK + "as_of: 2026-05-01\n"
    rules = version(shop, "x", **{"campaigns/week": text}).rulebook
    resolved, problems = rule_diff.resolve_all(rules, None, NOW)
    assert problems == []
    assert f"{resolved['campaign', 'week'].as_of:%Y-%m-%d %Z}" == "2026-05-01 EDT"
    assert resolved["audience", "all"].as_of == NOW
    assert isinstance(resolved["audience", "all"].audience, Audience)
    asked, _ = rule_diff.resolve_all(rules, NOW.replace(year=2025), NOW)
    assert {audience.as_of.year for audience in asked.values()} == {2025}


def test_a_stated_preference_moves_one_from_mail_to_guard(shop: Shop) -> None:
    who = add(shop, "a", country="NO")
    planned(shop)
    state(shop.store, who, "vegetarian")
    write(shop, "templates/hello/subject.txt", "Another")
    assert moves_of(between(shop, days=0.1)) == {("mail 'meat'", "guard"): ("reason", ("a",))}


def test_a_plan_made_again_is_compared_with_what_it_decided_before(shop: Shop) -> None:
    first = add(shop, "a", country="NO")
    made = planned(shop)
    assert (made.changes, made.compared_with) == (None, None)
    add(shop, "b", country="NO")
    with shop.store.write() as connection:
        consent = dialect.table(tables.Consent)
        connection.execute(consent.update().where(consent.c.customer_id == first).values(given=False))
    again = plan.make_plan(shop.store, edition(shop), NOW, NOW + timedelta(hours=1), CompareTo())
    assert again.id == made.id
    assert again.changes == {"entered": 1, "left": 1, "changed": 0}
    assert again.compared_with == f"plan {made.id} of 2026-06-01 05:00 EDT"
    assert again.moves is not None
    assert again.moves.since == again.compared_with
    assert moves_of(again.moves) == {
        (OUTSIDE, "mail 'meat'"): ("entered", ("b",)),
        ("mail 'meat'", "no consent"): ("reason", ("a",)),
    }
    same = planned(shop, NOW + timedelta(hours=2))
    assert same.changes == {"entered": 0, "left": 0, "changed": 0}
    assert same.compared_with == f"plan {made.id} of 2026-06-01 06:00 EDT"
    with shop.store.read() as connection:
        rows = dialect.table(tables.PlanRow)
        assert set(connection.scalars(sqlalchemy.select(rows.c.plan_id))) == {made.id}


def test_a_repeated_plan_is_compared_with_the_newest_other_one(shop: Shop) -> None:
    add(shop, "a", country="NO")
    planned(shop)
    write(shop, "rules/campaigns/week.yaml", f"{WEEK}description: another\n")
    another = planned(shop, NOW + timedelta(hours=1))
    write(shop, "rules/campaigns/week.yaml", WEEK)
    assert planned(shop, NOW + timedelta(hours=2)).compared_with == f"plan {another.id} of 2026-06-01 06:00 EDT"
