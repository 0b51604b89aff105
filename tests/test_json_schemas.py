"""Checks that what is published for editors is what the code reads, on every file and every example in the docs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator

from mailshot import documents, json_schemas
from mailshot.audience.nodes import Condition
from mailshot.cli import rules
from mailshot.documents import Node
from mailshot.rulebook.rulebook import Rulebook
from tests.support.conditions import CONDITIONS, VOCABULARY, written
from tests.test_docs import EXAMPLES, SNIPPETS

ROOT = Path(__file__).parents[1]
GENERAL = json_schemas.general()
SHOP = json_schemas.schema_for(Rulebook.load(ROOT))
KINDS = {"audiences": "audience", "campaigns": "campaign", "traits": "trait", "imports": "import"}
FILES = sorted((ROOT / "rules").rglob("*.yaml"))
CORE = ((r"true|True|TRUE", True), (r"false|False|FALSE", False), (r"null|Null|NULL|~|", None))


def _json(node: Node) -> Any:
    """Return a node as an editor sees it: plain scalars typed by the core schema of YAML 1.2."""
    if isinstance(node, documents.Mapping):
        return {key.text: _json(value) for key, value in node}
    if isinstance(node, documents.Sequence):
        return [_json(item) for item in node.items]
    assert isinstance(node, documents.Scalar)
    if node.quoted:
        return node.text
    for pattern, value in CORE:
        if re.fullmatch(pattern, node.text):
            return value
    if re.fullmatch(r"[-+]?[0-9]+", node.text):
        return int(node.text)
    number = re.fullmatch(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", node.text)
    return float(node.text) if number else node.text


def _errors(schema: Any, text: str) -> list[str]:
    errors = Draft202012Validator(schema).iter_errors(_json(documents.parse_document(text, "f.yaml").root))
    return [error.message[:300] for error in errors]


def _kind(path: Path) -> str:
    return KINDS.get(path.parent.name, path.stem)


def _of_example(text: str) -> str | None:
    word = re.match(r"(?:#.*\n)*(\w+):", text)
    named = {"audience": "audience", "campaign": "campaign", "customer": "facts"}
    return named.get(word[1]) if word else None


@pytest.mark.parametrize("name", GENERAL)
def test_every_schema_is_one(name: str) -> None:
    Draft202012Validator.check_schema(GENERAL[name])
    Draft202012Validator.check_schema(SHOP[name])


@pytest.mark.parametrize("name", GENERAL)
def test_what_is_published_is_what_the_code_reads(name: str) -> None:
    for folder, schemas in (("docs/schemas", GENERAL), ("rules/schemas", SHOP)):
        assert (ROOT / folder / f"{name}.json").read_text(encoding="utf-8") == rules.schema_text(schemas[name]), (
            "run: mailshot rules schema, and: mailshot rules schema --general --to docs/schemas"
        )


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_of_the_example_shop_fits_both_schemas(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert _errors(SHOP[_kind(path)], text) == []
    assert _errors(GENERAL[_kind(path)], text) == []
    place = "schemas" if path.parent.name == "rules" else "../schemas"
    assert text.startswith(f"# yaml-language-server: $schema={place}/{_kind(path)}.json\n")


@pytest.mark.parametrize("example", [text for text in EXAMPLES if _of_example(text)])
def test_every_example_in_the_docs_fits(example: str) -> None:
    kind = _of_example(example)
    assert kind
    assert _errors(GENERAL[kind], example) == []


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_every_condition_in_the_docs_fits(snippet: str) -> None:
    assert _errors(SHOP["audience"], f"audience: a\nwho:\n  {snippet}") == []


WRONG = {
    "misspelt word": "bougth: {department: PRODUCE}",
    "unknown fact": "hair: brown",
    "unknown field": "bought: {departement: PRODUCE}",
    "unknown group": "bought: {group: vegtables}",
    "unknown topic": "consent: ofers",
    "unknown audience": "audience: nobody",
    "unknown stage": "lifecycle: asleep",
    "no length of time": "bought: {within: ninety days}",
    "two comparisons": "bought: {times: {at_least: 1, at_most: 2}}",
    "comparison of a text": "country: {at_least: 3}",
    "no share": "share: 10",
    "measure of mails": "opened: {amount: {at_least: 3}}",
    "unknown event": "did: {event: veiwed}",
    "unknown value": "trait: {diet: vegetarain}",
}


@pytest.mark.parametrize("rule", WRONG.values(), ids=WRONG)
def test_an_editor_underlines_what_the_reader_refuses(rule: str) -> None:
    assert _errors(SHOP["audience"], f"audience: a\nwho:\n  {rule}")


CAMPAIGN = "campaign: a\ntopic: offers\nsender: greenleaf\naudience: regulars\ncontent: [{name: a, template: a}]\n"
SENDER = "a:\n  name: A\n  address: a@example.com\n  postal_address: 1 Main Street\n  "


@pytest.mark.parametrize(("kind", "head"), [("company", ""), ("campaign", CAMPAIGN), ("senders", SENDER)])
def test_an_editor_knows_utm_parameters_and_their_placeholders(kind: str, head: str) -> None:
    for schemas in (GENERAL, SHOP):
        for right in ("{source: 2026, content: 'a {content}-{topic}', term: ''}", "{campaign: '{campaign}{sender}'}"):
            assert _errors(schemas[kind], f"{head}utm: {right}") == []
        for wrong in ("{sorce: a}", "{source: '{campain}'}", "{source: '{topic'}", "{source: [a]}", "[a]", "a"):
            assert _errors(schemas[kind], f"{head}utm: {wrong}")


def test_an_editor_knows_both_forms_of_a_logo() -> None:
    for right in ("_base/logo.png", "{picture: 'https://x.example/a.png'}", "{picture: a.png, alt: A, width: 160}"):
        assert _errors(GENERAL["company"], f"logo: {right}") == []
    for wrong in ("[a.png]", "{alt: A}", "{picture: a.png, size: 3}", "{picture: a.png, width: wide}"):
        assert _errors(GENERAL["company"], f"logo: {wrong}")


@given(CONDITIONS)
@settings(max_examples=150, deadline=None)
def test_whatever_can_be_said_fits(condition: Condition) -> None:
    made = json_schemas.conditions.definitions(VOCABULARY, ["Lit-other"])
    assert _errors({"$ref": "#/$defs/condition", "$defs": made}, written(condition)) == []
