"""Owns what an editor is told of conditions, as JSON Schema; refuses the files they stand in."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from mailshot.audience.examples import activities as examples_activities
from mailshot.audience.examples import example_reader
from mailshot.audience.parse import activities as parse_activities
from mailshot.audience.parse import conditions, windows
from mailshot.audience.vocabulary import Vocabulary
from mailshot.facts import json_schema, relative_dates
from mailshot.facts.catalogue import Fact, FactType
from mailshot.facts.comparison import ORDERED
from mailshot.facts.json_schema import Schema
from mailshot.profile.activity import HISTORIES, MEASURES, ActivityKind
from mailshot.profile.lifecycle import Stage

CONDITION: Schema = {"$ref": "#/$defs/condition"}
PERIOD: Schema = {
    "type": ["string", "integer"],
    "pattern": r"^\s*(today|yesterday|(this|last) (week|month|quarter|year)|\d{4}(-\d{2})?)\s*$",
    "examples": ["yesterday", "last month", "2026-03"],
}
BEGINNING: Schema = {"anyOf": [json_schema.DATE, PERIOD]}
ZONE: Schema = {"description": "Whose days: the company's unless said", "enum": list(windows.ZONES)}
WINDOWS: Mapping[str, Schema] = {
    "within": json_schema.SPAN,
    "before": {"anyOf": [json_schema.AGO, json_schema.DATE]},
    "since": BEGINNING,
    "between": json_schema.compared("between", FactType.date, json_schema.DATE),
    "during": PERIOD,
}
TRACKED = "Whether customers who do not consent to tracking count as such as never do it; otherwise they never fit"
RELATIVE: Mapping[str, Schema] = {
    "within": json_schema.SPAN,
    "before": json_schema.AGO,
    "in_next": json_schema.SPAN,
    "during": PERIOD,
    "anniversary_in": {"anyOf": [json_schema.SPAN, PERIOD]},
}


def definitions(vocabulary: Vocabulary, audiences: Collection[str] = (), open_ended: bool = False) -> dict[str, Schema]:
    """Return the definitions of `condition` and `selection`.

    With `open_ended` a shop's own facts, events and names are not known, and any is let pass.
    """
    products = json_schema.product_fields(vocabulary.catalogue.product, vocabulary.groups, open_ended)
    others: Schema | bool = json_schema.anything() if open_ended else False
    selection = {**json_schema.mapping(products, others=others), "minProperties": 1}
    properties = {**_facts(vocabulary), **_words(vocabulary, audiences, open_ended)}
    for history in HISTORIES.values():
        properties |= _history(history, vocabulary, products, open_ended)
    condition = {**json_schema.mapping(properties, others=others), "minProperties": 1}
    number = json_schema.comparison(Fact("", FactType.number, "A count, or a sum"))
    fields = json_schema.product_definitions(vocabulary.catalogue.product)
    return {"condition": condition, "selection": selection, "measure": number, **fields}


def _facts(vocabulary: Vocabulary) -> dict[str, Schema]:
    return {name: _fact(fact) for name, fact in vocabulary.catalogue.customer.items()}


def _fact(fact: Fact) -> Schema:
    if fact.type is not FactType.date:
        return json_schema.comparison(fact)
    found = json_schema.comparison(fact, _described(RELATIVE, relative_dates.WORDS))
    also = json_schema.mapping(
        {**_described(RELATIVE, relative_dates.WORDS), windows.ZONE: ZONE}, required=(windows.ZONE,)
    )
    return {**found, "anyOf": [*found["anyOf"], {**also, "maxProperties": 2}]}


def _words(vocabulary: Vocabulary, audiences: Collection[str], open_ended: bool) -> dict[str, Schema]:
    several = {"type": "array", "items": CONDITION, "minItems": 1}
    stages = {"enum": [stage.value for stage in Stage]}
    said = {"says": {"description": "'no' for what was denied", **json_schema.BOOLEAN}}
    sure = {"confidence": {"description": "More than 0, at most 1; 0.95 unless said", **json_schema.NUMBER}}
    number = {**json_schema.NUMBER, "description": "How many of the conditions under 'of'"}
    found: dict[str, Schema] = {
        "all": several,
        "any": several,
        "not": CONDITION,
        "of": several,
        "everyone": {"enum": [True, "yes"]},
        "lifecycle": {"anyOf": [stages, json_schema.several(stages)]},
        "preference": _pair(vocabulary.preferences, said, open_ended),
        "trait": _pair(vocabulary.traits, sure, open_ended),
        "consent": json_schema.enum_of(vocabulary.topics, open_ended),
        "audience": json_schema.enum_of(audiences, open_ended),
        "share": json_schema.SHARE,
    }
    counts = {name: json_schema.compared(name, FactType.number, number) for name in ORDERED}
    return {**_described(found, conditions.WORDS), **counts}


def _pair(known: Mapping[str, Collection[str]], extra: Mapping[str, Schema], open_ended: bool) -> Schema:
    # A trait with a value for every department has no list of them.
    named = {name: json_schema.enum_of(values, open_ended or not list(values)) for name, values in known.items()}
    others = json_schema.TEXT if open_ended else False
    return {**json_schema.mapping({**named, **extra}, others=others), "minProperties": 1, "maxProperties": 2}


def _history(
    history: ActivityKind, vocabulary: Vocabulary, products: Mapping[str, Schema], open_ended: bool
) -> dict[str, Schema]:
    fields = {name: json_schema.comparison(fact) for name, fact in history.known(vocabulary.catalogue).items()}
    if open_ended and "event" in fields:
        fields["event"] = json_schema.anything()
    measures = {name: {"$ref": "#/$defs/measure", "description": MEASURES[name]} for name in history.measures}
    about = {
        **(products if history.of_products else {}),
        **fields,
        **_described(WINDOWS, windows.WORDS),
        windows.ZONE: ZONE,
        **({parse_activities.UNTRACKED: {**json_schema.BOOLEAN, "description": TRACKED}} if history.tracked else {}),
    }
    open_fields = open_ended and (history.of_products or history.keyword == "contacted")
    others: Schema | bool = json_schema.anything() if open_fields else False
    found = {
        history.keyword: {**json_schema.mapping({**about, **measures}, others=others), "description": history.help}
    }
    if history.negated:
        found[history.negated] = {**json_schema.mapping(about, others=others), "description": f"Not: {history.help}"}
    return found


def _described(found: Mapping[str, Schema], told: Mapping[str, str]) -> dict[str, Schema]:
    return {name: {**each, "description": told[name]} for name, each in found.items()}


def example(vocabulary: Vocabulary, open_ended: bool = False) -> Schema:
    """Return the schema of one example: a made-up customer, and whether the rule means them."""
    others: Schema | bool = {} if open_ended else False
    anything = {"type": "object"}
    facts = {name: {"description": fact.help} for name, fact in vocabulary.catalogue.customer.items()}
    found: dict[str, Schema] = {
        "name": json_schema.TEXT,
        "as_of": json_schema.MOMENT,
        "customer": json_schema.mapping(facts, others=others),
        **{word: _happenings(history, vocabulary, others) for word, history in HISTORIES.items()},
        "consents": anything,
        "preferences": anything,
        "traits": anything,
        "share": json_schema.BOOLEAN,
        "matches": json_schema.BOOLEAN,
    }
    return json_schema.mapping(_described(found, example_reader.WORDS), required=("matches",))


def _happenings(history: ActivityKind, vocabulary: Vocabulary, others: Schema | bool) -> Schema:
    """Return the schema of one thing that happened, or of a list of them."""
    named = {**(vocabulary.catalogue.product if history.of_products else {}), **history.known(vocabulary.catalogue)}
    group: dict[str, Schema] = {"group": {"description": "Some product of it"}} if history.of_products else {}
    told = {
        name: {"description": help}
        for name, help in examples_activities.WORDS.items()
        if name in examples_activities.own(history)
    }
    line = json_schema.mapping(
        {**{n: {"description": f.help} for n, f in named.items()}, **group, **told}, others=others
    )
    return {"anyOf": [line, {"type": "array", "items": line, "minItems": 1}]}
