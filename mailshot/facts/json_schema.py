"""JSON Schemas of values, comparisons and product filters.

Rules are read by the type of the fact (`NO` is a country, `3` may be a text), so a schema accepts more spellings of a
value than its type suggests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mailshot.facts.catalogue import Fact, FactType
from mailshot.facts.comparison import KNOWN, ORDERED, TEXTUAL
from mailshot.facts.product_filters import ANY_OF, EXCEPT, GROUP
from mailshot.facts.yaml_values import MAX_VALUES

Schema = dict[str, Any]

TEXT: Schema = {"type": ["string", "number", "boolean"]}
BOOLEAN: Schema = {"enum": [True, False, "yes", "no"]}
NUMBER: Schema = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^\s*-?[0-9]+(\.[0-9]+)?\s*$"}]}
DATE: Schema = {"type": "string", "pattern": r"^\s*\d{4}-\d{2}-\d{2}\s*$"}
SPAN: Schema = {
    "type": "string",
    "pattern": r"^\s*[0-9]{1,5}\s*(hour|day|week|month|year)s?\s*$",
    "examples": ["90 days", "2 weeks", "1 year"],
}
AGO: Schema = {"type": "string", "pattern": r"^.* ago\s*$", "examples": ["30 days ago"]}
SHARE: Schema = {"type": "string", "pattern": r"^\s*[0-9]{1,3}(\.[0-9]{1,6})?\s*%\s*$", "examples": ["10%"]}
MOMENT: Schema = {"type": "string", "examples": ["2026-12-01 09:00"]}
REPEAT: Schema = {
    "anyOf": [
        BOOLEAN,
        {**SPAN, "pattern": SPAN["pattern"].replace(r"^\s*", r"^\s*after\s+"), "examples": ["after 300 days"]},
    ],
    "description": "no: once in all runs; yes: in every run; 'after 300 days': again when the last is that long ago",
}
# Placeholder for a definition that is inserted when the schema of a whole file is built.
STANDS = "x-mailshot"
VALUES = {FactType.text: TEXT, FactType.number: NUMBER, FactType.boolean: BOOLEAN, FactType.date: DATE}
SELECTION: Schema = {"$ref": "#/$defs/selection"}


def enum_of(known: Iterable[str], open_ended: bool = False) -> Schema:
    """Return the schema of one word out of `known`; any word when the list is not the whole truth."""
    listed = sorted(known)
    if open_ended or not listed:
        return {**TEXT, **({"examples": listed} if listed else {})}
    return {"enum": listed}


def comparison_schema(fact: Fact, also: Mapping[str, Schema] | None = None) -> Schema:
    """Return the schema of what a fact is compared with; `also` are further comparisons known where it stands."""
    value = {"enum": list(fact.choices)} if fact.choices else VALUES[fact.type]
    ways = {name: operator_schema(name, fact.type, value) for name in operators(fact.type)}
    description = f"{fact.help}{f' ({fact.unit})' if fact.unit else ''}"
    return {"description": description, "anyOf": [value, several(value), one_of_these({**ways, **(also or {})})]}


def operators(kind: FactType) -> tuple[str, ...]:
    """Return the words a value of this type can be compared with."""
    known = {FactType.text: tuple(TEXTUAL), FactType.boolean: ("is",)}
    return (*known.get(kind, tuple(ORDERED)), KNOWN)


def operator_schema(operator: str, kind: FactType, value: Schema) -> Schema:
    """Return the schema of the keys next to one comparison."""
    if operator == KNOWN:
        return BOOLEAN
    if operator == "between":
        return {"type": "array", "items": value, "minItems": 2, "maxItems": 2}
    if operator == "one_of":
        return several(value)
    return TEXT if kind is FactType.text and operator in ("starts_with", "ends_with", "contains") else value


def several(value: Schema) -> Schema:
    return {"type": "array", "items": value, "minItems": 1, "maxItems": MAX_VALUES}


def one_of_these(properties: Mapping[str, Schema]) -> Schema:
    """Return the schema of a mapping with exactly one of these words."""
    return {**mapping(properties), "minProperties": 1, "maxProperties": 1}


def mapping(properties: Mapping[str, Schema], required: Iterable[str] = (), others: Schema | bool = False) -> Schema:
    """Return the schema of a mapping; `others` is what further words may be."""
    schema: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": others}
    return {**schema, "required": list(required)} if required else schema


def product_fields(facts: Mapping[str, Fact], groups: Iterable[str], open_ended: bool) -> dict[str, Schema]:
    """Return what a choice of products may name; the fields themselves are defined by `product_definitions`."""
    several = {"type": "array", "items": SELECTION, "minItems": 1}
    return {
        **{name: {"$ref": f"#/$defs/product_{name}"} for name in facts},
        GROUP: {"description": "A group of rules/products.yaml", **enum_of(groups, open_ended)},
        EXCEPT: {"description": "But not these products", **SELECTION},
        ANY_OF: {"description": "Any of several choices of products", **several},
    }


def product_definitions(facts: Mapping[str, Fact]) -> dict[str, Schema]:
    return {f"product_{name}": comparison_schema(fact) for name, fact in facts.items()}


def anything() -> Schema:
    """Return the schema of a comparison with a fact that the schema cannot know."""
    ways: dict[str, Schema] = {name: {} for kind in FactType for name in operators(kind)}
    return {"anyOf": [TEXT, several(TEXT), one_of_these(ways)]}
