"""Checks that the docs match the code: what the code declares is documented, and the examples in the docs are valid."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer.main

from mailshot import documents, states
from mailshot.audience.examples import activities
from mailshot.audience.examples import example_reader as reading
from mailshot.audience.parse import conditions, windows
from mailshot.audience.registry import AudienceRegistry
from mailshot.campaign import rule_tests
from mailshot.cli.main import cli
from mailshot.facts import relative_dates
from mailshot.facts.catalogue import RESERVED
from mailshot.facts.comparison import KNOWN, ORDERED, TEXTUAL
from mailshot.profile.activity import KINDS, MEASURES
from mailshot.rulebook.rulebook import Rulebook
from mailshot.settings import PREFIX, Settings

ROOT = Path(__file__).parents[1]
DOCS = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}
EXAMPLES = re.findall(r"```yaml\n(.*?)```", DOCS["rules"] + (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
SNIPPETS = re.findall(r"^\|.*\| `(\{?\w+: [^`]+)` \|$", DOCS["rules"].split("## The other files")[0], re.MULTILINE)
NOW = datetime(2026, 6, 1, 9, tzinfo=UTC)
VOCABULARY = [
    conditions.WORDS,
    MEASURES,
    windows.WORDS,
    relative_dates.WORDS,
    ORDERED,
    TEXTUAL,
    {KNOWN: "", windows.ZONE: ""},
]
FIELDS = {name: "" for history in KINDS.values() for name in history.fields}


def test_every_setting_is_documented() -> None:
    variables = {name: f"`{PREFIX}{name.upper()}`" for name in Settings.model_fields}
    variables["relay"] = f"`{PREFIX}RELAY_<NAME>`"
    assert [variable for variable in variables.values() if variable not in DOCS["operating"]] == []


def test_every_command_is_documented() -> None:
    commands = typer.main.get_command(cli).commands  # type: ignore[attr-defined]
    assert [
        name for name in commands if f"mailshot {name}" not in DOCS["operating"] and f"`{name}" not in DOCS["operating"]
    ] == []


@pytest.mark.parametrize("words", [*VOCABULARY, FIELDS])
def test_every_rule_word_is_documented_with_an_example_that_is_run(words: dict[str, str]) -> None:
    run = " ".join([*SNIPPETS, *EXAMPLES])
    assert [word for word in words if f"`{word}" not in DOCS["rules"] or not re.search(rf"\b{word}:", run)] == []


def test_no_fact_can_be_named_like_a_word_of_the_language() -> None:
    assert {word for words in VOCABULARY for word in words} - RESERVED <= {"is", "one_of", "known", *TEXTUAL}


@pytest.mark.parametrize("kind", [states.DeliveryState, states.FeedbackKind, states.AnswerState])
def test_every_state_and_kind_is_documented_as_declared(kind: type[states.HelpEnum]) -> None:
    assert [word for word in kind if f"| {word} | {word.help} |" not in DOCS["reliability"]] == []


def test_every_entry_of_the_audit_log_is_documented_as_declared() -> None:
    lines = [line for line in DOCS["operating"].splitlines() if line.startswith("| ")]
    assert [
        word
        for word in states.AuditAction
        if not any(line.startswith(f"| {word} |") and line.endswith(f" {word.help} |") for line in lines)
    ] == []


@pytest.mark.parametrize("kind", [states.IncomingKind, states.BounceReason])
def test_every_kind_and_reason_of_incoming_mail_is_documented_as_declared(kind: type[states.HelpEnum]) -> None:
    assert [word for word in kind if f"| {word} | {word.help} |" not in DOCS["internals"]] == []


@pytest.fixture(scope="module")
def rules() -> Rulebook:
    return Rulebook.load(ROOT)


def test_the_example_shop_is_sound(rules: Rulebook) -> None:
    assert rules.check() == []


@pytest.mark.parametrize("example", [text for text in EXAMPLES if text.startswith("audience")])
def test_every_audience_in_the_docs_is_sound(example: str, rules: Rulebook) -> None:
    assert AudienceRegistry([documents.parse_document(example, "docs")], rules.vocabulary).audiences()


@pytest.mark.parametrize("example", [text for text in EXAMPLES if "\nexamples:" in text])
def test_every_example_in_the_docs_comes_out_as_it_says(example: str, rules: Rulebook) -> None:
    book = Rulebook.thaw({**rules.freeze(), "rules/audiences/docs.yaml": example})
    chosen = [audience for audience in book.audiences() if audience.file == "rules/audiences/docs.yaml"]
    report = rule_tests.run_examples(book, NOW, chosen)
    assert len(report.outcomes) > 1
    assert [outcome.example.name for outcome in report.failed] == []


def test_every_example_of_the_example_shop_comes_out_as_it_says(rules: Rulebook) -> None:
    assert rule_tests.example_problems(rules, NOW) == []
    report = rule_tests.run_examples(rules, NOW, rules.audiences())
    assert report.without == []
    assert [outcome.example.name for outcome in report.failed] == []


def test_every_word_of_an_example_is_documented() -> None:
    section = DOCS["rules"].split("## Examples")[1].split("## The other files")[0]
    words = {*reading.WORDS, *activities.WORDS} - {*KINDS}
    assert [word for word in sorted(words) if f"| `{word}`" not in section] == []


@pytest.mark.parametrize("example", [text for text in EXAMPLES if text.startswith("campaign")])
def test_every_campaign_in_the_docs_is_sound(example: str, rules: Rulebook) -> None:
    texts = {path: text for path, text in rules.freeze().items() if not path.startswith("rules/campaigns/")}
    assert Rulebook.thaw({**texts, "rules/campaigns/docs.yaml": example}).check() == []


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_every_condition_in_the_docs_is_sound(snippet: str, rules: Rulebook) -> None:
    document = documents.parse_document(snippet, "docs")
    problems = document.problems()
    assert rules.book.condition(document.root, problems, "docs")
    assert problems.found == []


def test_the_conditions_in_the_docs_are_found() -> None:
    assert len(SNIPPETS) >= len(conditions.WORDS) + len(MEASURES)
