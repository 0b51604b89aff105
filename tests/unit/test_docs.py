"""Owns that the docs cannot drift: what code declares once stands in them, and their examples are sound."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from mailshot import documents, events
from mailshot.audience import nodes, parse, purchases
from mailshot.audience.book import Book
from mailshot.campaign.rulebook import Rulebook
from mailshot.cli.commands import cli
from mailshot.profile.comparison import KNOWN, ORDERED, TEXTUAL
from mailshot.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
DOCS = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}
EXAMPLES = re.findall(r"```yaml\n(.*?)```", DOCS["rules"] + (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
SNIPPETS = re.findall(
    r"^\| `\w+`[^|]*\|[^|]*\| `(\w+: [^`]+)` \|$", DOCS["rules"].split("## Comparisons")[0], re.MULTILINE
)


def test_every_setting_is_documented() -> None:
    assert [name for name in Settings.model_fields if f"`{PREFIX}{name.upper()}`" not in DOCS["operating"]] == []


def test_every_command_is_documented() -> None:
    commands = typer.main.get_command(cli).commands  # type: ignore[attr-defined]
    assert [
        name for name in commands if f"mailshot {name}" not in DOCS["operating"] and f"`{name}" not in DOCS["operating"]
    ] == []


@pytest.mark.parametrize("words", [parse.WORDS, nodes.MEASURES, purchases.WINDOWS, ORDERED, TEXTUAL, {KNOWN: ""}])
def test_every_rule_word_is_documented(words: dict[str, str]) -> None:
    assert [word for word in words if f"`{word}" not in DOCS["rules"]] == []


@pytest.mark.parametrize("kind", [events.DeliveryState, events.FeedbackKind])
def test_every_state_and_kind_is_documented_as_declared(kind: type[events.Explained]) -> None:
    assert [word for word in kind if f"| {word} | {word.help} |" not in DOCS["reliability"]] == []


@pytest.fixture(scope="module")
def rules() -> Rulebook:
    return Rulebook.load(ROOT)


def test_the_example_shop_is_sound(rules: Rulebook) -> None:
    assert rules.check() == []


@pytest.mark.parametrize("example", [text for text in EXAMPLES if text.startswith("audience")])
def test_every_audience_in_the_docs_is_sound(example: str, rules: Rulebook) -> None:
    assert Book([documents.parse(example, "docs")], rules.vocabulary).audiences()


@pytest.mark.parametrize("example", [text for text in EXAMPLES if text.startswith("campaign")])
def test_every_campaign_in_the_docs_is_sound(example: str, rules: Rulebook) -> None:
    texts = {path: text for path, text in rules.freeze().items() if not path.startswith("rules/campaigns/")}
    assert Rulebook.thaw({**texts, "rules/campaigns/docs.yaml": example}).check() == []


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_every_condition_in_the_docs_is_sound(snippet: str, rules: Rulebook) -> None:
    document = documents.parse(snippet, "docs")
    problems = document.problems()
    assert rules.book.condition(document.root, problems, "docs")
    assert problems.found == []


def test_the_conditions_in_the_docs_are_found() -> None:
    assert len(SNIPPETS) >= len(parse.WORDS) - 1
