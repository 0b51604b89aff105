"""Checks that an invalid rule is rejected at its place, with a remedy, and with all errors of a file at once."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailshot import documents
from mailshot.audience.parse.conditions import WORDS
from mailshot.audience.registry import AudienceRegistry
from mailshot.errors import InvalidInput, NotFound, Problem
from tests.support.conditions import CONDITIONS, VOCABULARY, members, written

# What stands under 'who:', and the place (from its first character), message and remedy of the first problem.
WRONG = {
    "{bougth: {department: A}}": (1, "unknown condition or fact 'bougth'", "Did you mean 'bought'?"),
    "{contry: 'NO'}": (1, "unknown condition or fact 'contry'", "Did you mean 'country'?"),
    "{bought: {departmnt: A}}": (10, "unknown product field 'departmnt'", "Did you mean 'department'?"),
    "{bought: {department: A, witin: 3 days}}": (25, "unknown product field 'witin'", "Did you mean 'within'?"),
    "{bought: {group: b}}": (17, "unknown product group 'b'", "Known: a, cheap, not a."),
    "{bought: x}": (
        9,
        "expected fields, a window or a measure",
        "For example {department: PRODUCE, within: 90 days}; {} for any at all.",
    ),
    "{bought: {within: 90}}": (
        18,
        "'within': '90' is not a length of time",
        "Write for example '90 days', '2 weeks' or '1 year'.",
    ),
    "{bought: {within: -3 days}}": (
        18,
        "'within': '-3 days' is not a length of time",
        "Write for example '90 days', '2 weeks' or '1 year'.",
    ),
    "{bought: {before: soon}}": (
        18,
        "'before': 'soon' is neither a date nor a time ago",
        "For example '30 days ago' or 2026-01-01.",
    ),
    "{bought: {since: 2026-02-30}}": (17, "'2026-02-30' is not a date such as 2026-03-31", ""),
    "{bought: {since: 0001-01-01}}": (17, "'0001-01-01' is not a date such as 2026-03-31", ""),
    "{bought: {between: [2026-03-01]}}": (19, "'between' needs a list of two values", "For example [10, 20]."),
    "{bought: {between: [2026-03-02, 2026-03-01]}}": (
        19,
        "'between' runs backwards: 2026-03-02 is more than 2026-03-01",
        "Swap the two values.",
    ),
    "{bought: {within: 3 days, since: 2026-01-01}}": (
        26,
        "two windows contradict each other",
        "Keep one, or use 'since' with 'before'.",
    ),
    "{bought: {within: 3 days, before: 4 days ago}}": (26, "the window ends before it begins", "Swap the two."),
    "{bought: {since: 2026-01-01, before: 2026-01-01}}": (29, "the window ends before it begins", "Swap the two."),
    "{bought: {times: many}}": (17, "'many' is not a number such as 3 or 12.50", ""),
    "{bought: {times: {atleast: 3}}}": (18, "unknown comparison 'atleast' for a number", "Did you mean 'at_least'?"),
    "{bought: {times: {at_least: 1, at_most: 2}}}": (
        17,
        "expected exactly one comparison",
        "For example {at_least: …}.",
    ),
    "{bought: {times: {known: yes}}}": (17, "'times' is always known", "Compare it with a number."),
    "{bought: {times: {at_least: 1.23456}}}": (28, "'1.23456' is not a number such as 3 or 12.50", ""),
    "{bought: {times: {at_least: 1e20}}}": (28, "'1e20' is not a number such as 3 or 12.50", ""),
    "{bought: {times: {at_least: nan}}}": (28, "'nan' is not a number such as 3 or 12.50", ""),
    "{bought: {days_since_last: 1.5}}": (27, "'days_since_last' counts whole days", ""),
    "{bought: {days_since_last: 99999999}}": (27, "'days_since_last' counts from 0 to 36,500 days", ""),
    "{bought: {days_since_last: -1}}": (27, "'days_since_last' counts from 0 to 36,500 days", ""),
    "{never_bought: {department: A, times: 3}}": (
        15,
        "'never_bought' takes no measure",
        "Use 'bought' with 'times: {at_most: …}'.",
    ),
    "{country: []}": (10, "the list is empty", "Name at least one value, or remove the line."),
    "{country: {more_than: A}}": (11, "unknown comparison 'more_than' for a text", ""),
    "{country: }": (9, "'' is not a word or text", ""),
    "{age: old}": (6, "'old' is not a number such as 3 or 12.50", ""),
    "{member: maybe}": (9, "'maybe' is not yes or no", ""),
    "{born: 31.03.2026}": (7, "'31.03.2026' is not a date such as 2026-03-31", ""),
    "{lifecycle: actve}": (12, "unknown lifecycle stage 'actve'", "Did you mean 'active'?"),
    "{preference: {diet: vegetaran}}": (20, "unknown value of diet 'vegetaran'", "Did you mean 'vegetarian'?"),
    "{preference: {deit: vegan}}": (14, "unknown preference 'deit'", "Did you mean 'diet'?"),
    "{preference: {diet: vegan, says: perhaps}}": (33, "'perhaps' is not yes or no", ""),
    "{trait: diet}": (8, "expected one trait and its value", "For example 'trait: {diet: vegetarian}'."),
    "{trait: {diet: vegan, confidence: 2}}": (34, "confidence must be more than 0 and at most 1", "For example 0.95."),
    "{trait: {diet: vegan, confidence: nan}}": (
        34,
        "confidence must be more than 0 and at most 1",
        "For example 0.95.",
    ),
    "{consent: ofers}": (10, "unknown topic 'ofers'", "Did you mean 'offers'?"),
    "{audience: nobody}": (11, "unknown audience 'nobody'", "Known: test."),
    "{share: 10}": (8, "'share' must be a percentage from 0% to 100%", "For example '10%' or '2.5%'."),
    "{share: 101%}": (8, "'share' must be a percentage from 0% to 100%", "For example '10%' or '2.5%'."),
    "{share: inf%}": (8, "'share' must be a percentage from 0% to 100%", "For example '10%' or '2.5%'."),
    "{everyone: no}": (11, "write 'everyone: yes'", ""),
    "{all: {everyone: yes}}": (6, "expected a list of conditions", "Start each with '- '."),
    "{any: []}": (6, "expected a list of conditions", "Start each with '- '."),
    "{not: [{everyone: yes}]}": (
        6,
        "expected a condition",
        "For example 'bought: {department: PRODUCE, within: 90 days}'.",
    ),
    "everybody": (0, "expected a condition", "For example 'bought: {department: PRODUCE, within: 90 days}'."),
    "{}": (0, "expected a condition", "For example 'bought: {department: PRODUCE, within: 90 days}'."),
}


def problems(*texts: str) -> list[Problem]:
    book = AudienceRegistry(
        [documents.parse_document(text, f"rules/audiences/{n}.yaml") for n, text in enumerate(texts)], VOCABULARY
    )
    with pytest.raises(InvalidInput) as caught:
        book.audiences()
    return list(caught.value.problems)


@pytest.mark.parametrize("rule", WRONG)
def test_an_invalid_rule_is_reported_at_its_place(rule: str) -> None:
    (problem,) = problems(f"audience: test\nwho: {rule}\n")
    place, message, remedy = WRONG[rule]
    assert (problem.file, problem.line, problem.column) == ("rules/audiences/0.yaml", 2, 6 + place)
    assert problem.message == message
    assert problem.excerpt == f"who: {rule}"
    assert problem.remedy == remedy or (not remedy and problem.remedy.startswith("Known: "))


def test_all_errors_of_all_files_are_reported_at_once() -> None:
    reported = problems(
        "audience: one\nwho:\n  any:\n    - contry: 'NO'\n    - bought: {witin: 3 days, times: many}\n    - share: 200%\n",  # noqa: E501
        "audience: two\nwho: {lifecycle: [activ, nwe]}\ndescripton: x\n",
        "who: {everyone: yes}\n",
        "audience: one\nwho: {everyone: yes}\n",
        "audience: three\n",
    )
    assert [(item.file[-6], item.line, item.column) for item in reported] == [
        ("2", 1, 1),
        ("3", 1, 11),
        ("0", 4, 7),
        ("0", 5, 16),
        ("0", 5, 38),
        ("0", 6, 14),
        ("4", 1, 1),
        ("1", 2, 19),
        ("1", 2, 26),
        ("1", 3, 1),
    ]


def test_audiences_in_a_circle_are_rejected() -> None:
    reported = problems(
        "audience: a\nwho: {audience: b}\n", "audience: b\nwho: {audience: c}\n", "audience: c\nwho: {audience: a}\n"
    )
    assert reported[0].message == "the audiences refer to each other in a circle: a -> b -> c -> a"
    assert (reported[0].file, reported[0].line, reported[0].column) == ("rules/audiences/2.yaml", 2, 17)
    (alone,) = problems("audience: a\nwho: {not: {audience: a}}\n")
    assert alone.message.endswith("a -> a")


def chain(length: int) -> list[str]:
    links = [f"audience: a{n}\nwho: {{audience: a{n + 1}}}\n" for n in range(length)]
    return [*links, f"audience: a{length}\nwho: {{everyone: yes}}\n"]


def test_a_long_chain_of_audiences_is_rejected() -> None:
    assert "audiences refer to each other more than 20 levels deep" in {
        problem.message for problem in problems(*chain(2000))
    }


def test_the_size_of_an_audience_includes_those_that_it_names() -> None:
    """A few small files must not grow into a statement that no database takes."""
    bombs = ["audience: a0\nwho: {any: [" + "{share: 1%}, " * 30 + "]}\n"]
    bombs += [f"audience: a{n}\nwho: {{any: [" + f"{{audience: a{n - 1}}}, " * 30 + "]}\n" for n in range(1, 12)]
    reported = problems(*bombs)
    assert reported[0].message == "the rule comes to more than 500 conditions, with those of the audiences it names"


def rule(condition: str) -> str:
    return f"audience: test\nwho: {condition}\n"


def test_depth_counts_through_the_audiences_a_rule_names() -> None:
    inner, outer = "{everyone: yes}", "{audience: inner}"
    for _ in range(11):
        inner, outer = f"{{not: {inner}}}", f"{{not: {outer}}}"
    reported = problems(f"audience: inner\nwho: {inner}\n", f"audience: outer\nwho: {outer}\n")
    assert reported[0].message == "the rule is nested deeper than 20 levels, with the audiences it names"


TOO_LARGE = {
    "501 conditions": (rule("{any: [" + "{share: 1%}, " * 501 + "]}"), "the rule comes to more than 500 conditions"),
    "10,001 texts": (rule("{country: [" + "a, " * 10_001 + "]}"), "the list has 10,001 values; at most 10,000"),
    "101 days": (rule("{joined_at: [" + "2026-01-01, " * 101 + "]}"), "the list has 101 values; at most 100"),
    "101 counts": (rule("{bought: {times: [" + "1, " * 101 + "]}}"), "the list has 101 values; at most 100"),
    "10,001 numbers": (rule("{age: [" + "1, " * 10_001 + "]}"), "the list has 10,001 values; at most 10,000"),
    "101 dates": (rule("{joined_at: [" + "2026-01-01, " * 101 + "]}"), "the list has 101 values; at most 100"),
    "many lists": (
        rule("{any: [" + ("{joined_at: [" + "2026-01-01, " * 99 + "]}, ") * 6 + "]}"),
        "the rule comes to more than 500",
    ),
    "many products": (rule("{bought: {any_of: [" + "{name: a}, " * 501 + "]}}"), "comes to more than 500 comparisons"),
}


@pytest.mark.parametrize("what", TOO_LARGE)
def test_a_rule_that_is_too_large_is_rejected(what: str) -> None:
    text, message = TOO_LARGE[what]
    try:
        reported = problems(text)
    except InvalidInput as error:
        reported = list(error.problems)
    assert message in reported[0].message


def test_ten_thousand_texts_and_500_conditions_are_accepted() -> None:
    for text in (rule("{country: [" + "a, " * 10_000 + "]}"), rule("{any: [" + "{share: 1%}, " * 499 + "]}")):
        (audience,) = AudienceRegistry([documents.parse_document(text, "f.yaml")], VOCABULARY).audiences()
        assert audience.condition.size <= 500


def test_an_unknown_audience_is_not_found() -> None:
    with pytest.raises(NotFound, match="Did you mean 'test'"):
        AudienceRegistry([documents.parse_document(rule("{everyone: yes}"), "f.yaml")], VOCABULARY).audience("tset")


NAMES = st.sampled_from(
    [
        *WORDS,
        "country",
        "age",
        "joined_at",
        "department",
        "within",
        "before",
        "times",
        "at_least",
        "known",
        "did",
        "never_opened",
        "clicked",
        "contacted",
        "was_referred",
        "of",
        "event",
        "seconds",
        "by",
        "zone",
        "during",
        "anniversary_in",
        "born",
        "any_of",
        "except",
        "group",
        "x",
        "",
    ]
)
SCALARS = st.sampled_from(
    [
        "yes",
        "no",
        "10%",
        "90 days",
        "30 days ago",
        "2026-01-01",
        "3",
        "-1",
        "1e999",
        "nan",
        "diet",
        "a",
        "",
        "~",
        "''",
        "\\u0000",
    ]
) | st.text("ab:{}[],'\"\\ 0é", max_size=4)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(st.tuples(NAMES, inner), max_size=3).map(
            lambda pairs: "{" + ", ".join(f"{k}: {v}" for k, v in pairs) + "}"
        )
    ),
    max_leaves=12,
)


@given(TREES | st.text(max_size=40))
@settings(max_examples=400, deadline=None)
def test_any_text_is_parsed_or_rejected(text: str) -> None:
    _parse_or_reject(rule(text))


@given(CONDITIONS, st.integers(0, 400), st.integers(0, 3), st.text(max_size=3))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_rule_with_a_typo_is_parsed_or_rejected(condition: object, at: int, cut: int, put: str) -> None:
    text = written(condition)  # type: ignore[arg-type]
    assert isinstance(members(condition), list)  # type: ignore[arg-type]
    _parse_or_reject(rule(text[:at] + put + text[at + cut :]))


def _parse_or_reject(text: str) -> None:
    try:
        AudienceRegistry([documents.parse_document(text, "f.yaml")], VOCABULARY).audiences()
    except InvalidInput as error:
        assert error.problems  # noqa: PT017
        assert all(problem.file == "f.yaml" for problem in error.problems)  # noqa: PT017


@pytest.mark.parametrize("written", ["{at_least: 100,5}", "\n    at_least: 100,5", "100,5"])
def test_a_decimal_comma_is_rejected_with_the_right_spelling(written: str) -> None:
    book = AudienceRegistry([documents.parse_document(f"audience: a\nwho:\n  age: {written}\n", "a.yaml")], VOCABULARY)
    with pytest.raises(InvalidInput, match=r"with a point: .*100\.5"):
        book.audiences()
