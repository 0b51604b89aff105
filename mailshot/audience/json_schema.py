"""JSON Schema of conditions and examples, for editors."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import assert_never, get_args

from mailshot.audience.examples import activities as examples_activities
from mailshot.audience.examples import example_reader
from mailshot.audience.parse import activities as parse_activities
from mailshot.audience.parse import conditions, windows
from mailshot.audience.parse.conditions import Word
from mailshot.audience.vocabulary import Vocabulary
from mailshot.facts import json_schema, relative_dates
from mailshot.facts.catalogue import Fact, FactType
from mailshot.facts.comparison import ORDERED
from mailshot.facts.json_schema import Schema
from mailshot.profile.activity import KINDS, MEASURES, ActivityKind
from mailshot.profile.lifecycle import Stage

CONDITION: Schema = {"$ref": "#/$defs/condition"}
PERIOD: Schema = {
    "type": ["string", "integer"],
    "pattern": r"^\s*(today|yesterday|(this|last) (week|month|quarter|year)|\d{4}(-\d{2})?)\s*$",
    "examples": ["yesterday", "last month", "2026-03"],
}
BEGINNING: Schema = {"anyOf": [json_schema.DATE, PERIOD]}
ZONE: Schema = {"description": "Whose days: the company's by default", "enum": list(windows.ZONES)}
WINDOWS: Mapping[str, Schema] = {
    "within": json_schema.SPAN,
    "before": {"anyOf": [json_schema.AGO, json_schema.DATE]},
    "since": BEGINNING,
    "between": json_schema.operator_schema("between", FactType.date, json_schema.DATE),
    "during": PERIOD,
}
TRACKED = (
    "Whether customers who do not consent to tracking count as customers who never do it; otherwise they never match"
)
RELATIVE: Mapping[str, Schema] = {
    "within": json_schema.SPAN,
    "before": json_schema.AGO,
    "in_next": json_schema.SPAN,
    "during": PERIOD,
    "anniversary_in": {"anyOf": [json_schema.SPAN, PERIOD]},
}


def definitions(vocabulary: Vocabulary, audiences: Collection[str] = (), open_ended: bool = False) -> dict[str, Schema]:
    """Return the definitions of `condition` and `selection`.

    With `open_ended` the shop's own facts, events and names are not known, and any are accepted.
    """
    products = json_schema.product_fields(vocabulary.catalogue.product, vocabulary.groups, open_ended)
    others: Schema | bool = json_schema.anything() if open_ended else False
    selection = {**json_schema.mapping(products, others=others), "minProperties": 1}
    properties = {**_facts(vocabulary), **_words(vocabulary, audiences, open_ended)}
    for kind in KINDS.values():
        properties |= _activity(kind, vocabulary, products, open_ended)
    condition = {**json_schema.mapping(properties, others=others), "minProperties": 1}
    number = json_schema.comparison_schema(Fact("", FactType.number, "A count, or a sum"))
    fields = json_schema.product_definitions(vocabulary.catalogue.product)
    return {"condition": condition, "selection": selection, "measure": number, **fields}


def _facts(vocabulary: Vocabulary) -> dict[str, Schema]:
    return {name: _fact(fact) for name, fact in vocabulary.catalogue.customer.items()}


def _fact(fact: Fact) -> Schema:
    if fact.type is not FactType.date:
        return json_schema.comparison_schema(fact)
    relative = _described(RELATIVE, relative_dates.WORDS)
    schema = json_schema.comparison_schema(fact, relative)
    zoned = json_schema.mapping({**relative, windows.ZONE: ZONE}, required=(windows.ZONE,))
    return {**schema, "anyOf": [*schema["anyOf"], {**zoned, "maxProperties": 2}]}


def _words(vocabulary: Vocabulary, audiences: Collection[str], open_ended: bool) -> dict[str, Schema]:
    words: tuple[Word, ...] = get_args(Word)
    schemas: dict[str, Schema] = {word: _word(word, vocabulary, audiences, open_ended) for word in words}
    number = {**json_schema.NUMBER, "description": "How many of the conditions under 'of'"}
    counts = {name: json_schema.operator_schema(name, FactType.number, number) for name in ORDERED}
    return {**_described(schemas, conditions.WORDS), **counts}


def _word(word: Word, vocabulary: Vocabulary, audiences: Collection[str], open_ended: bool) -> Schema:
    """Return the schema of the value of one word."""
    match word:
        case "all" | "any" | "of":
            return {"type": "array", "items": CONDITION, "minItems": 1}
        case "not":
            return CONDITION
        case "everyone":
            return {"enum": [True, "yes"]}
        case "lifecycle":
            stages = {"enum": [stage.value for stage in Stage]}
            return {"anyOf": [stages, json_schema.several(stages)]}
        case "preference":
            says = {"says": {"description": "'no' for what was denied", **json_schema.BOOLEAN}}
            return _pair(vocabulary.preferences, says, open_ended)
        case "trait":
            described = {"description": "More than 0, at most 1; 0.95 by default", **json_schema.NUMBER}
            return _pair(vocabulary.traits, {"confidence": described}, open_ended)
        case "consent":
            return json_schema.enum_of(vocabulary.topics, open_ended)
        case "audience":
            return json_schema.enum_of(audiences, open_ended)
        case "share":
            return json_schema.SHARE
        case _:
            assert_never(word)


def _pair(known: Mapping[str, Collection[str]], extra: Mapping[str, Schema], open_ended: bool) -> Schema:
    # A trait with a value for each department has no list of values.
    named = {name: json_schema.enum_of(values, open_ended or not list(values)) for name, values in known.items()}
    others = json_schema.TEXT if open_ended else False
    return {**json_schema.mapping({**named, **extra}, others=others), "minProperties": 1, "maxProperties": 2}


def _activity(
    kind: ActivityKind, vocabulary: Vocabulary, products: Mapping[str, Schema], open_ended: bool
) -> dict[str, Schema]:
    """Return the schemas of one kind's condition and of its negation, by their words."""
    fields = {name: json_schema.comparison_schema(fact) for name, fact in kind.known(vocabulary.catalogue).items()}
    if open_ended and "event" in fields:
        fields["event"] = json_schema.anything()
    measures = {name: {"$ref": "#/$defs/measure", "description": MEASURES[name]} for name in kind.measures}
    untracked = {parse_activities.UNTRACKED: {**json_schema.BOOLEAN, "description": TRACKED}}
    properties = {
        **(products if kind.of_products else {}),
        **fields,
        **_described(WINDOWS, windows.WORDS),
        windows.ZONE: ZONE,
        **(untracked if kind.tracked else {}),
    }
    open_fields = open_ended and (kind.of_products or bool(kind.declared))
    others: Schema | bool = json_schema.anything() if open_fields else False
    counted = json_schema.mapping({**properties, **measures}, others=others)
    schemas: dict[str, Schema] = {kind.keyword: {**counted, "description": kind.help}}
    if kind.negated:
        negated = json_schema.mapping(properties, others=others)
        schemas[kind.negated] = {**negated, "description": f"Not: {kind.help}"}
    return schemas


def _described(schemas: Mapping[str, Schema], descriptions: Mapping[str, str]) -> dict[str, Schema]:
    return {name: {**schema, "description": descriptions[name]} for name, schema in schemas.items()}


def example_schema(vocabulary: Vocabulary, open_ended: bool = False) -> Schema:
    """Return the schema of one example: a made-up customer, and whether the rule matches."""
    others: Schema | bool = {} if open_ended else False
    anything = {"type": "object"}
    facts = {name: {"description": fact.help} for name, fact in vocabulary.catalogue.customer.items()}
    schemas: dict[str, Schema] = {
        "name": json_schema.TEXT,
        "as_of": json_schema.MOMENT,
        "customer": json_schema.mapping(facts, others=others),
        **{keyword: _example_activities(kind, vocabulary, others) for keyword, kind in KINDS.items()},
        "consents": anything,
        "preferences": anything,
        "traits": anything,
        "share": json_schema.BOOLEAN,
        "matches": json_schema.BOOLEAN,
    }
    return json_schema.mapping(_described(schemas, example_reader.WORDS), required=("matches",))


def _example_activities(kind: ActivityKind, vocabulary: Vocabulary, others: Schema | bool) -> Schema:
    """Return the schema of one activity of an example, or of a list of them."""
    facts = {**(vocabulary.catalogue.product if kind.of_products else {}), **kind.known(vocabulary.catalogue)}
    group: dict[str, Schema] = {"group": {"description": "Some product of it"}} if kind.of_products else {}
    own = examples_activities.own(kind)
    word_schemas = {word: {"description": help} for word, help in examples_activities.WORDS.items() if word in own}
    fields = {name: {"description": fact.help} for name, fact in facts.items()}
    activity = json_schema.mapping({**fields, **group, **word_schemas}, others=others)
    return {"anyOf": [activity, {"type": "array", "items": activity, "minItems": 1}]}
