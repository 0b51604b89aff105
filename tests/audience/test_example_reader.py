"""Checks how examples are parsed: what may be left out, and that each error is reported at its place."""

# ruff: noqa: E501  (a mistake, its place, message and remedy stand on one line)
from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from mailshot import documents
from mailshot.audience.evaluate import Evaluator
from mailshot.audience.examples import example_reader
from mailshot.audience.examples.dates import Today
from mailshot.audience.examples.example_reader import WORDS, Example
from mailshot.audience.registry import AudienceRegistry
from mailshot.errors import Problem
from mailshot.profile import bucketing
from mailshot.profile.activity import KINDS
from tests.support.conditions import VOCABULARY

ZONE = ZoneInfo("America/New_York")
TODAY = datetime(2026, 4, 7, 9, 30, tzinfo=ZONE)
PINNED, MOVING = Today(TODAY, pinned=True), Today(TODAY, pinned=False)


def read(written: str, clock: Today = PINNED, who: str = "{everyone: yes}") -> tuple[list[Example], list[Problem]]:
    """Read examples as they stand in a file."""
    document = documents.parse_document(f"audience: a\nwho: {who}\nexamples: {written}", "a.yaml")
    problems = document.problems()
    condition = AudienceRegistry([document], VOCABULARY).audience("a").condition
    return example_reader.read_examples(document, VOCABULARY, clock, problems, condition), problems.found


def read_one(written: str, clock: Today = PINNED, who: str = "{everyone: yes}") -> Example:
    (example,), problems = read(f"[{{{written}, matches: yes}}]", clock, who)
    assert problems == []
    return example


def moment(at: str, clock: Today = PINNED) -> datetime:
    (line,) = read_one(f"bought: {{at: {at}}}", clock).profile.histories["bought"]
    return line.at


def wall(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=ZONE)  # type: ignore[arg-type, misc]


@pytest.mark.parametrize("clock", [PINNED, MOVING])
def test_moments_are_relative_to_today(clock: Today) -> None:
    assert moment("10 days ago", clock) == TODAY - timedelta(days=10)
    assert moment("1 month ago", clock) == wall(2026, 3, 7, 9, 30)
    assert moment("2 hours ago", clock) == TODAY - timedelta(hours=2)
    assert moment("Yesterday", clock) == wall(2026, 4, 6, 12)
    assert moment("today", clock) == wall(2026, 4, 7)  # noon has not come yet
    (usual,) = read_one("bought: {}", clock).profile.histories["bought"]
    assert usual.at == wall(2026, 4, 6, 12)


def test_moments_are_in_the_time_zone_of_the_company() -> None:
    assert moment("2026-03-01") == wall(2026, 3, 1, 12)
    assert moment("2026-03-01 18:05") == wall(2026, 3, 1, 18, 5)
    assert moment("2026-03-01T18:05+09:00") == datetime(2026, 3, 1, 9, 5, tzinfo=UTC)
    assert read_one("as_of: 2026-04-01").as_of == wall(2026, 4, 1)
    assert read_one("as_of: 2026-04-01 08:00, bought: {at: 2026-04-01}").profile.histories["bought"][0].at == wall(
        2026, 4, 1
    )
    assert not read_one("name: x", MOVING).pinned
    assert read_one("as_of: 2026-04-01", MOVING).pinned


def test_an_activity_has_defaults() -> None:
    lines = read_one("bought: [{department: A, at: [3 days ago, yesterday], times: 2}, {order: B}, {order: B}]").profile
    bought = lines.histories["bought"]
    assert len(bought) == 6
    assert len({line.occasion for line in bought}) == 5
    assert {(line.amount, line.quantity) for line in bought} == {(Decimal(), Decimal(1))}
    assert {str(line.product["key"]) for line in bought if line.product} == {"department A", "a product"}
    paid = read_one("bought: [{key: A, quantity: 3}, {key: A, price: 2.50, amount: 1}]").profile.histories["bought"]
    assert [line.amount for line in paid] == [Decimal("7.50"), Decimal(1)]  # what a line says of A holds for both
    assert read_one("opened: {}").profile.histories["opened"][0].about == {"by": "human"}
    seen = read_one("did: {event: Lit-viewed, seconds: 12, label: x, amount: 3}").profile.histories["did"][0]
    assert (seen.about, seen.product, seen.amount) == (
        {"event": "Lit-viewed", "seconds": 12},
        {"label": "x", "key": "label x"},
        Decimal(3),
    )
    assert read_one("did: {event: Lit-viewed}").profile.histories["did"][0].product is None
    grouped = read_one("bought: {group: cheap, name: x}").profile.histories["bought"][0].product
    assert grouped
    assert VOCABULARY.groups["cheap"].matches(grouped)
    assert grouped["name"] == "x"


@pytest.mark.parametrize("word", KINDS)
def test_an_example_can_have_every_kind_of_activity(word: str) -> None:
    event = "event: Lit-viewed, " if word == "did" else ""
    assert len(read_one(f"{word}: [{{{event}times: 3}}]").profile.histories[KINDS[word].kept_as]) == 3


def test_a_return_is_a_purchase_with_negative_quantity() -> None:
    positive = "{key: A, at: 3 days ago, quantity: 2, amount: 10, channel: web}"
    negative = "{key: A, at: 3 days ago, quantity: -2, amount: -10, channel: web}"
    ways = [read_one(f"returned: {positive}"), read_one(f"returned: {negative}"), read_one(f"bought: {negative}")]
    (line,) = ways[0].profile.histories["bought"]
    assert (line.quantity, line.amount) == (Decimal(-2), Decimal(-10))
    lines = [
        (activity.at, activity.about, activity.quantity, activity.amount)
        for way in ways
        for activity in way.profile.histories["bought"]
    ]
    assert lines[0] == lines[1] == lines[2]


def test_the_customer_is_as_written() -> None:
    who = read_one(
        "customer: {country: NO, joined_at: 2 years ago, born: 30 years ago, age: 12.5, member: no, time_zone: Asia/Tokyo},"
        "consents: {offers: yes, recipes: no},"
        "preferences: {diet: vegan, size: [{value: small, says: no}, large]},"
        "traits: {diet: [{value: vegan, confidence: 0.97}, vegetarian]}"
    ).profile
    assert who.facts == {
        "key": "example",
        "country": "NO",
        "joined_at": wall(2024, 4, 7, 9, 30),
        "born": "1996-04-07",
        "age": 12.5,
        "member": False,
        "time_zone": "Asia/Tokyo",
    }
    assert who.consents == {"offers": True, "recipes": False}
    assert who.preferences == {("diet", "vegan"): True, ("size", "small"): False, ("size", "large"): True}
    sure = {pair: inferred.confidence for pair, inferred in who.traits.items()}
    assert sure == {("diet", "vegan"): 0.97, ("diet", "vegetarian"): 1.0}
    assert read_one("customer: {born: in 3 days}").profile.facts["born"] == "2026-04-10"
    assert read_one("name: x").profile.lot == bucketing.bucket("example")


@pytest.mark.parametrize(("fields", "inside"), [("", True), ("share: yes, ", True), ("share: no, ", False)])
def test_a_customer_is_in_all_random_shares_by_default(fields: str, inside: bool) -> None:
    rule = "{any: [{share: 0.05%}, {not: {share: 0%}}]}"
    document = documents.parse_document(
        f"audience: a\nwho: {{share: 0.05%}}\nexamples: [{{{fields}matches: yes}}]", "a.yaml"
    )
    condition = AudienceRegistry([document], VOCABULARY).audience("a").condition
    (example,) = example_reader.read_examples(document, VOCABULARY, PINNED, document.problems(), condition)
    assert Evaluator(example.profile, TODAY, ZONE).verdict(condition).holds is inside
    assert read_one("name: x", who=rule)


def test_names_and_verdicts() -> None:
    examples, problems = read("[{matches: yes}, {name: two, matches: no}]")
    assert [(example.name, example.matches, example.line) for example in examples] == [
        ("example 1", True, 3),
        ("two", False, 3),
    ]
    assert problems == []
    without = documents.parse_document("audience: a\nwho: {everyone: yes}", "a.yaml")
    assert example_reader.read_examples(without, VOCABULARY, PINNED, without.problems()) == []


# What stands in the braces of an example (or for all of them), what is told at which word, and the remedy.
WRONG = {
    "nam: x": ("nam", "unknown word 'nam' in an example", "Did you mean 'name'?"),
    "country: NO": ("country", "unknown word 'country' in an example", "Put facts under 'customer': 'customer: {country: …}'."),
    "never_bought: {}": ("never_bought", "unknown word 'never_bought' in an example", "An example says what happened; leave out what did not."),
    "lifecycle: new": ("lifecycle", "unknown word 'lifecycle' in an example", "It follows from what the customer 'bought'."),
    "as_of: soon": ("soon", "'as_of': 'soon' is not a date or time", "For example 2026-04-01 or 2026-04-01 09:00."),
    "as_of: 10 days ago": ("10 days", "'as_of': '10 days ago' is not a date or time", "For example 2026-04-01 or 2026-04-01 09:00."),
    "share: 10%": ("10%", "'10%' is not yes or no", ""),
    "customer: NO": ("NO", "expected names and values under 'customer'", "For example 'customer: {country: NO}'."),
    "customer: {contry: NO}": ("contry", "unknown fact 'contry'", "Did you mean 'country'?"),
    "customer: {country: [NO, SE]}": ("[NO", "expected one value: a word or text", ""),
    "customer: {age: old}": ("old", "'old' is not a number such as 3 or 12.50", ""),
    "customer: {born: then}": ("then", "'then' is not a date", "Write for example 1990-03-31, '30 years ago' or 'in 14 days'."),
    "customer: {time_zone: Europe/Olso}": ("Europe", "unknown time zone 'Europe/Olso'", "Did you mean 'Europe/Oslo'?"),
    "bought: x": ("x", "expected what the customer bought", "For example '- {group: vegetables, at: 10 days ago}'."),
    "opened: [x]": ("x", "expected what the customer opened", "For example '- {campaign: spring, at: 10 days ago}'."),
    "bought: {at: tody}": ("tody", "'tody' is not a date or time", "Write for example '10 days ago', 'yesterday', 2026-03-01 or 2026-03-01 18:05."),
    "bought: {at: []}": ("[]", "the list is empty", "Leave the line out when it did not happen."),
    "bought: {at: tomorrow}": ("tomorrow", "'tomorrow' is not before 'today' (2026-04-07 09:30); rules ignore anything later", "Write an earlier date, or a later 'as_of'."),
    "bought: {at: 2026-04-07 09:30}": ("2026", "'2026-04-07 09:30' is not before 'today' (2026-04-07 09:30); rules ignore anything later", "Write an earlier date, or a later 'as_of'."),
    "as_of: 2026-04-01, bought: {at: 2026-04-01}": ("2026-04-01}", "'2026-04-01' is not before 'today' (2026-04-01 00:00); rules ignore anything later", "Write an earlier date, or a later 'as_of'."),
    "bought: {times: 0}": ("0}", "'times' must be a whole number from 1 to 1,000", ""),
    "bought: {times: 1.5}": ("1.5", "'times' must be a whole number from 1 to 1,000", ""),
    "bought: [{times: 1000}, {times: 1000, at: [" + "yesterday, " * 10 + "]}]": ("{times: 1000, at", "more than 10,000 activities in one example", "Make it simpler."),
    "bought: {order: A, times: 2}": ("A,", "one order, but several times", "Leave out 'order', or write a line for each."),
    "bought: {quantity: many}": ("many", "'many' is not a number such as 3 or 12.50", ""),
    "bought: {chanel: web}": ("chanel", "unknown word or product field 'chanel'", "Did you mean 'channel'?"),
    "bought: {departmnt: A}": ("departmnt", "unknown word or product field 'departmnt'", "Did you mean 'department'?"),
    "bought: {department: {starts_with: A}}": ("{starts", "expected one value: a word or text", ""),
    "bought: {group: b}": ("b}", "unknown product group 'b'", "Known: a, cheap, not a."),
    "bought: {group: not a}": ("not a", "found no product of the group 'not a'", "Leave out the group, and say what the product's fields are."),
    "bought: {group: a, department: B}": ("a,", "found no product of the group 'a' that has the other fields of this line", "Leave out the group, and say what the product's fields are."),
    "bought: {except: {department: A}}": ("except", "'except' is for rules: an example names one product", "Say what it is."),
    "bought: [{key: A, name: x}, {key: A, name: y}]": ("name: y", "another line says that the product 'A' has the name 'x'", "Give one of them another key."),
    "did: {at: yesterday}": ("{at: y", "'event' is missing", "Known: Lit-viewed, added to basket. For example '- {event: viewed}'."),
    "did: {event: Lit-view}": ("Lit-view", "unknown event 'Lit-view'", "Did you mean 'Lit-viewed'?"),
    "did: {event: added to basket, seconds: 3}": ("seconds", "'added to basket' has no fact 'seconds'", "Known: page."),
    "opened: {by: humn}": ("humn", "unknown by 'humn'", "Did you mean 'human'?"),
    "opened: {category: A}": ("category", "unknown word 'category' in what the customer opened", ""),
    "contacted: {agent: x}": ("x}", "unknown agent 'x'", "Known: Lit-a, Lit-é."),
    "consents: {ofers: yes}": ("ofers", "unknown topic 'ofers'", "Did you mean 'offers'?"),
    "consents: {offers: perhaps}": ("perhaps", "'perhaps' is not yes or no", ""),
    "preferences: {deit: vegan}": ("deit", "unknown preference 'deit'", "Did you mean 'diet'?"),
    "preferences: {diet: vegn}": ("vegn", "unknown value of diet 'vegn'", "Did you mean 'vegan'?"),
    "preferences: {diet: {says: no}}": ("{says", "'value' is missing", "For example 'diet: {value: …, says: …}'."),
    "preferences: {diet: {value: vegan, say: no}}": ("say:", "unknown word 'say'", "Did you mean 'says'?"),
    "traits: {diet: {value: vegan, confidence: 2}}": ("2}", "confidence must be more than 0 and at most 1", "For example 0.95."),
}  # fmt: skip


@pytest.mark.parametrize("written", WRONG)
def test_an_invalid_example_is_reported_at_its_place(written: str) -> None:
    place, message, remedy = WRONG[written]
    examples, (problem,) = read(f"[{{{written}, matches: yes}}]")
    assert examples == []
    assert (problem.file, problem.line, problem.message) == ("a.yaml", 3, message)
    assert problem.excerpt[problem.column - 1 :].startswith(place)
    assert problem.remedy == remedy or not remedy


def test_a_fixed_date_needs_a_fixed_today() -> None:
    _, (problem,) = read("[{bought: {at: 2026-03-01}, matches: yes}]", MOVING)
    assert problem.message.startswith("'2026-03-01' is fixed, but 'today' moves on")
    assert read_one("as_of: 2026-04-01, bought: {at: 2026-03-01}", MOVING)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("x", "expected a list of examples"),
        ("[]", "expected a list of examples"),
        ("[x]", "expected an example"),
        ("[{name: x}]", "'matches' is missing"),
        ("[{matches: maybe}]", "'maybe' is not yes or no"),
        ("[{name: a, matches: yes}, {name: a, matches: no}]", "there are two examples 'a'"),
    ],
)
def test_anything_but_a_list_of_examples_is_rejected(written: str, message: str) -> None:
    _, (problem,) = read(written)
    assert problem.message == message


def test_all_errors_are_reported_at_once() -> None:
    examples, problems = read(
        "\n  - as_of: soon\n    bought: [{at: 2026-09-01}, {at: tody, catgory: A}]\n    matches: maybe"
        "\n  - {matches: no}\n  - customer: {contry: NO}"
    )
    assert [example.name for example in examples] == ["example 2"]
    assert [(problem.line, problem.column) for problem in problems] == [
        (4, 12), (5, 43), (5, 37), (6, 14), (8, 16), (8, 5),
    ]  # fmt: skip


def test_the_words_of_examples_are_complete() -> None:
    assert {*KINDS, "name", "as_of", "customer", "consents", "preferences", "traits", "share", "matches"} == {*WORDS}
