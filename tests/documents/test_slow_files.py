"""Checks that the worst that fits into 64 KB is read or refused as soon as any file, and that few errors are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailshot import documents
from mailshot.documents import MAX_BYTES
from mailshot.errors import InvalidInput, Problem
from mailshot.ingest import mapping
from mailshot.rulebook.rulebook import Rulebook
from tests.rulebook.test_any_file import FACTS, SHOP, soon

MAX_SHOWN = 51
WHO = "audience: x\nwho: "
CAMPAIGN = "campaign: x\ntopic: offers\nsender: greenleaf\naudience: regulars\ncontent:\n"


def many(line: str, times: int) -> str:
    return "".join(line.replace("#", str(n)) for n in range(times))


YAML = {
    "values": "[" + "a, " * 14_900 + "]",
    "lines": "- a\n" * 16_000,
    "keys": many("k#: 1\n", 6_500),
    "quoted keys": many("'k#': 1\n", 5_400),
    "equal keys": "a: 1\n" * 13_000,
    "keys in brackets": "{" + many("k#, ", 7_000) + "}",
    "merges": "<<: 1\n" * 10_000,
    "lists as keys": "{" + "[a]: 1, " * 8_000 + "}",
    "empty mappings": "[" + "{}," * 21_000 + "]",
    "open lists": "[" * 65_000,
    "open mappings": "{" * 65_000,
    "dashes": "- " * 32_000,
    "question marks": "? " * 32_000,
    "colons": ": " * 32_000,
    "aliases": "- *a\n" * 13_000,
    "tags": "!<" + "%41" * 21_000 + "> x",
    "directives": many("%TAG !a#! x\n", 4_000),
    "documents": "---\n" * 16_000,
    "a long word": "a: " + "x" * 65_000,
    "long words": "a: " + "x " * 32_000,
    "an open quote": 'a: "' + "x\n" * 32_000,
    "folded lines": "a: >\n" + "\n" * 65_000,
    "wide lines": "a: " + "x\n " * 21_000,
    "comments": "#\n" * 32_000,
    "tabs": "\t" * 65_000,
    "controls": "\x01" * 65_000,
    "line separators": "\u2028" * 21_000,
    "a list of pairs": "[" + "a: b, " * 10_000 + "]",
}
RULES = {
    "wrong numbers": ("rules/audiences/x.yaml", WHO + "{age: [" + "xx, " * 10_000 + "]}"),
    "right numbers": ("rules/audiences/x.yaml", WHO + "{age: [" + many("#, ", 9_900) + "]}"),
    "wrong choices": ("rules/audiences/x.yaml", WHO + "{tier: [" + many("b#, ", 9_000) + "]}"),
    "unknown words": ("rules/audiences/x.yaml", WHO + "{" + many("b#: 1, ", 6_000) + "}"),
    "unknown conditions": ("rules/audiences/x.yaml", WHO + "{any: [" + many("{b#: 1}, ", 4_900) + "]}"),
    "unknown fields": ("rules/audiences/x.yaml", WHO + "{bought: {" + many("b#: 1, ", 6_000) + "}}"),
    "too many conditions": ("rules/audiences/x.yaml", WHO + "{any: [" + "{share: 1%}, " * 4_900 + "]}"),
    "groups of groups": (
        "rules/products.yaml",
        "g: {brand: A}\n" + many("g#: {any_of: [{group: g}, {group: g}]}\n", 1_200),
    ),
    "unknown groups": ("rules/products.yaml", many("g#: {brand: A}\n", 1_300) + many("h#: {group: x#}\n", 1_300)),
    "wrong topics": ("rules/topics.yaml", many("t#: {ttle: x}\n", 3_500)),
    "wrong senders": ("rules/senders.yaml", many("t#: {address: x}\n", 3_000)),
    "wrong guards": ("rules/guards.yaml", many("- {guard: g, customers: {evryone: yes}, never: {grup: x}}\n", 1_000)),
    "wrong contents": ("rules/campaigns/x.yaml", CAMPAIGN + many("- {nme: a#, when: {b: c}}\n", 2_000)),
    "trait values": ("rules/traits/x.yaml", "trait: x\nvalues:\n" + many("  t#: {never: {brand: A}}\n", 1_800)),
    "facts": ("rules/facts.yaml", "customer:\n" + many("  f#: {type: text}\n", 2_500)),
    "a long word": ("rules/audiences/x.yaml", WHO + "{bougth" + "t" * 1_000 + ": 1}"),
    "a long number": ("rules/audiences/x.yaml", WHO + "{age: 1e" + "9" * 60_000 + "}"),
    "a long span": ("rules/audiences/x.yaml", WHO + "{bought: {within: '9" + " " * 60_000 + "x'}}"),
    "a long share": ("rules/audiences/x.yaml", WHO + "{share: '9" + " " * 60_000 + "x'}"),
    "a long schedule": (
        "rules/campaigns/x.yaml",
        CAMPAIGN + "- {name: a, template: b}\nschedule: {cron: '" + "0-59," * 12_000 + "1 * * * *'}",
    ),
    "a long address": (
        "rules/senders.yaml",
        "a: {name: x, address: '" + "a." * 30_000 + "@x.no', postal_address: 12345678}",
    ),
}  # fmt: skip
MAPPINGS = {
    "fields": "name: x\nimports:\n- kind: customers\n  file: x\n  columns:\n" + many("    c#: x\n", 4_500),
    "imports": "name: x\nimports:\n" + "- {kind: customers, file: x, columns: {ky: x}}\n" * 1_300,
    "brackets": "name: x\nimports:\n- {kind: customers, file: x, columns: {key: '" + "{" * 60_000 + "'}}\n",
}


def sensible(problems: tuple[Problem, ...] | list[Problem], name: str) -> None:
    own_problems = [problem for problem in problems if problem.file == name]
    assert len(own_problems) <= MAX_SHOWN
    assert sum(len(str(problem)) for problem in own_problems) < 100_000


@pytest.mark.parametrize("what", YAML)
def test_the_worst_yaml_is_read_or_refused_soon(what: str) -> None:
    text = YAML[what]
    assert len(text.encode()) <= MAX_BYTES
    with soon():
        try:
            documents.parse_document(text, "f.yaml")
        except InvalidInput as error:
            sensible(error.problems, "f.yaml")


@pytest.mark.parametrize("what", RULES)
def test_the_worst_rules_are_read_or_refused_soon(what: str) -> None:
    name, text = RULES[what]
    assert len(text.encode()) <= MAX_BYTES
    with soon():
        sensible(Rulebook({**SHOP, name: documents.parse_document(text, name)}).check(), name)


@pytest.mark.parametrize("what", MAPPINGS)
def test_the_worst_mappings_are_read_or_refused_soon(what: str, tmp_path: Path) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(MAPPINGS[what])
    with soon():
        try:
            mapping.load_mapping(path, FACTS, ())
        except InvalidInput as error:
            sensible(error.problems, str(path))
