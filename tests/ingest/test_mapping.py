"""Checks that a mapping says what it means, and that every mistake in one is told with its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mailshot import documents
from mailshot.errors import InvalidInput
from mailshot.facts import catalogue
from mailshot.ingest import fields, mapping
from mailshot.ingest.fields import Kind

ROOT = Path(__file__).parents[2]
TOPICS = ("offers", "recipes", "service", "tracking")
HEAD = "name: Shop\nimports:\n  - kind: customers\n    file: c.csv\n    columns:\n"

# The lines below `columns:`, then line, column and part of the message.
WRONG = {
    "      key: id\n      emial: mail\n": (7, 14, "customers have no field 'emial'"),
    "      email: mail\n": (6, 7, "also need 'key'"),
    "      key: {column: id}\n": (6, 12, "must be a column, a text"),
    "      key: [id]\n": (6, 12, "must be a column, a text"),
    "      key: id\n    colour: red\n": (7, 5, "unknown word 'colour'"),
    "      key: id\n      joined_at: {column: d, formt: x}\n": (7, 30, "'formt' says nothing of a column"),
    "      key: id\n      joined_at: {column: d, format: }\n": (7, 30, "'format' must be a text, or a list"),
    "      key: id\n      joined_at: {column: d, format: []}\n": (7, 30, "'format' must be a text, or a list"),
    "      key: id\n      joined_at: {column: d, yes: ja}\n": (7, 35, "'yes' means nothing here"),
    "      key: id\n      country: {column: c, format: '%d'}\n": (7, 36, "'format' means nothing here"),
    "      key: id\n      country: {column: c, decimal: ','}\n": (7, 37, "'decimal' means nothing here"),
    "      key: id\n      vip: {column: v, yes: [ja, X], no: x}\n": (7, 12, "'x' cannot be both yes and no"),
    "      key: id\n      vip: {column: v, yes: ''}\n": (7, 24, "'yes' must be a text, or a list"),
    "      key: id\n      points: {column: p, decimal: '.', thousands: '.'}\n": (7, 41, "cannot be the same sign"),
    "      key: id\n      points: {column: p, thousands: ','}\n    decimal: ','\n": None,
    "      key: id\n      points: {column: p, decimal: ';'}\n": (7, 27, "'decimal' must be one sign"),
    "      key: id\n      points: {column: p, currency: [€, 5]}\n": (7, 27, "'currency' must be a sign or code"),
    "      key: id\n      points: p\n    decimal: ','\n    thousands: ','\n": (3, 5, "cannot be the same sign"),
    "      key: id\n      country: {column: c, values: NO}\n": (7, 28, "'values' must map words"),
    "      key: id\n      country: {column: c, values: {NO: [a]}}\n": (7, 28, "'values' must pair each word"),
    "      key: id\n      country: {column: c, values: {no: NO, NO: SE}}\n": (7, 28, "names 'NO' twice"),
    "      key: id\n    encoding: klingon\n": (7, 15, "'klingon' is not an encoding"),
    "      key: id\n    encoding: rot13\n": (7, 15, "'rot13' is not an encoding"),
}
FACTS = catalogue.read(
    documents.parse_document("customer:\n  vip: {type: boolean}\n  points: {type: number}\n", "facts.yaml")
)


@pytest.mark.parametrize("lines", WRONG)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, lines: str) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(HEAD + lines)
    if not (wrong := WRONG[lines]):
        mapping.load_mapping(path, FACTS, TOPICS)
        return
    line, column, part = wrong
    with pytest.raises(InvalidInput) as raised:
        mapping.load_mapping(path, FACTS, TOPICS)
    (problem,) = raised.value.problems
    assert (problem.line, problem.column) == (line, column)
    assert part in problem.message


def test_a_wrong_zone_or_kind_is_told(tmp_path: Path) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(HEAD.replace("customers", "people").replace("name: Shop", "name: Shop\ntime_zone: Oslo"))
    with pytest.raises(InvalidInput) as raised:
        mapping.load_mapping(path, catalogue.builtin(), TOPICS)
    assert {problem.line for problem in raised.value.problems} >= {2, 4}


def test_a_source_is_a_column_a_pattern_or_a_constant(tmp_path: Path) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(HEAD + '      key: id\n      email: "{a}.{b}@x.org"\n      country: {value: NO}\n')
    columns = mapping.load_mapping(path, catalogue.builtin(), TOPICS).mapping.imports[0].columns
    assert (columns["key"].plain, columns["key"].columns) == (True, ("id",))
    assert (columns["email"].plain, columns["email"].columns) == (False, ("a", "b"))
    assert columns["country"].constant == "NO"


def test_the_complete_journey_maps_known_fields() -> None:
    facts = catalogue.read(documents.load_document(ROOT / "rules/facts.yaml"))
    plan = mapping.load_mapping(ROOT / "rules/imports/complete-journey.yaml", facts, TOPICS)
    assert {item.kind for item in plan.mapping.imports} == set(Kind) - {
        Kind.answers,
        Kind.interactions,
        Kind.referrals,
        Kind.suppressions,
    }


def test_the_documented_mapping_is_sound(tmp_path: Path) -> None:
    text = (ROOT / "docs/imports.md").read_text(encoding="utf-8")
    example, answers = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    path = tmp_path / "mapping.yaml"
    path.write_text(example, encoding="utf-8")
    assert len(mapping.load_mapping(path, catalogue.builtin(), TOPICS).mapping.imports) == 4
    path.write_text(f"name: survey\nimports:\n{answers}", encoding="utf-8")
    survey = mapping.load_mapping(path, catalogue.builtin(), TOPICS).mapping
    assert [item.kind for item in survey.imports] == [Kind.answers]


def test_every_kind_and_field_is_documented() -> None:
    text = (ROOT / "docs/imports.md").read_text(encoding="utf-8")
    for kind, named in fields.FIXED.items():
        (row,) = (line for line in text.splitlines() if line.startswith(f"| `{kind}`"))
        assert [name for name in named if f"`{name}" not in row and f", {name}" not in row] == []


def test_every_field_has_its_help() -> None:
    for kind in Kind:
        assert all(field.help for field in fields.fields_of(kind, catalogue.builtin(), TOPICS).values())


def test_how_a_whole_file_is_written_counts_where_a_column_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mapping.yaml"
    columns = "      key: id\n      points: p\n      vip: {column: v, yes: x}\n"
    columns += "      country: {column: c, values: {Norge: NO}}\n"
    path.write_text(HEAD + columns + "    decimal: ','\n    yes: [ja, OUI]\n    no: nein\n", encoding="utf-8")
    read = mapping.load_mapping(path, FACTS, TOPICS).mapping.imports[0].columns
    assert (read["points"].decimal_sign, read["points"].yes) == (",", ())
    assert (read["vip"].yes, read["vip"].no) == (("x",), ())
    assert read["country"].values == (("norge", "NO"),)
    path.write_text(HEAD + columns.replace(", yes: x", ", values: {}") + "    yes: [ja, OUI]\n", encoding="utf-8")
    with pytest.raises(InvalidInput):
        mapping.load_mapping(path, FACTS, TOPICS)
