"""Checks that a mapping says what it means, and that every mistake in one is told with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailshot import documents
from mailshot.errors import InvalidInput
from mailshot.ingest import fields, mapping
from mailshot.ingest.fields import Kind
from mailshot.profile import catalogue

ROOT = Path(__file__).parents[3]
TOPICS = ("offers", "recipes", "service", "tracking")
HEAD = "name: Shop\nimports:\n  - kind: customers\n    file: c.csv\n    columns:\n"

# The lines below `columns:`, then line, column and part of the message.
WRONG = {
    "      key: id\n      emial: mail\n": (7, 14, "customers have no field 'emial'"),
    "      email: mail\n": (6, 7, "also need 'key'"),
    "      key: {column: id}\n": (6, 12, "must be a column, a text"),
    "      key: [id]\n": (6, 12, "must be a column, a text"),
    "      key: id\n    colour: red\n": (7, 5, "unknown word 'colour'"),
}


@pytest.mark.parametrize("lines", WRONG)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, lines: str) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(HEAD + lines)
    line, column, part = WRONG[lines]
    with pytest.raises(InvalidInput) as raised:
        mapping.load(path, catalogue.builtin(), TOPICS)
    (problem,) = raised.value.problems
    assert (problem.line, problem.column) == (line, column)
    assert part in problem.message


def test_a_wrong_zone_or_kind_is_told(tmp_path: Path) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(HEAD.replace("customers", "people").replace("name: Shop", "name: Shop\ntime_zone: Oslo"))
    with pytest.raises(InvalidInput) as raised:
        mapping.load(path, catalogue.builtin(), TOPICS)
    assert {problem.line for problem in raised.value.problems} >= {2, 4}


def test_a_source_is_a_column_a_pattern_or_a_constant(tmp_path: Path) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(HEAD + '      key: id\n      email: "{a}.{b}@x.org"\n      country: {value: NO}\n')
    columns = mapping.load(path, catalogue.builtin(), TOPICS).mapping.imports[0].columns
    assert (columns["key"].plain, columns["key"].columns) == (True, ("id",))
    assert (columns["email"].plain, columns["email"].columns) == (False, ("a", "b"))
    assert columns["country"].constant == "NO"


def test_the_complete_journey_maps_known_fields() -> None:
    facts = catalogue.read(documents.load(ROOT / "rules/facts.yaml"))
    plan = mapping.load(ROOT / "rules/imports/complete-journey.yaml", facts, TOPICS)
    assert {item.kind for item in plan.mapping.imports} == set(Kind) - {
        Kind.interactions,
        Kind.referrals,
        Kind.suppressions,
    }


def test_every_field_has_its_help() -> None:
    for kind in Kind:
        assert all(field.help for field in fields.of(kind, catalogue.builtin(), TOPICS).values())
