"""Owns what an editor is told of conditions, as JSON Schema; refuses the files they stand in."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from mailshot.audience import examples, happenings, occasions, parse, windows
from mailshot.audience.vocabulary import Vocabulary
from mailshot.profile import relative, schema
from mailshot.profile.catalogue import Fact, FactType
from mailshot.profile.comparison import ORDERED
from mailshot.profile.history import HISTORIES, MEASURES, ActivityKind
from mailshot.profile.lifecycle import Stage
from mailshot.profile.schema import Schema

CONDITION: Schema = {"$ref": "#/$defs/condition"}
PERIOD: Schema = {
    "type": ["string", "integer"],
    "pattern": r"^\s*(today|yesterday|(this|last) (week|month|quarter|year)|\d{4}(-\d{2})?)\s*$",
    "examples": ["yesterday", "last month", "2026-03"],
}
BEGINNING: Schema = {"anyOf": [schema.DATE, PERIOD]}
ZONE: Schema = {"description": "Whose days: the company's unless said", "enum": list(windows.ZONES)}
WINDOWS: Mapping[str, Schema] = {
    "within": schema.SPAN,
    "before": {"anyOf": [schema.AGO, schema.DATE]},
    "since": BEGINNING,
    "between": schema.compared("between", FactType.date, schema.DATE),
    "during": PERIOD,
}
TRACKED = "Whether customers who do not consent to tracking count as such as never do it; otherwise they never fit"
RELATIVE: Mapping[str, Schema] = {
    "within": schema.SPAN,
    "before": schema.AGO,
    "in_next": schema.SPAN,
    "during": PERIOD,
    "anniversary_in": {"anyOf": [schema.SPAN, PERIOD]},
}


def definitions(vocabulary: Vocabulary, audiences: Collection[str] = (), open_ended: bool = False) -> dict[str, Schema]:
    """Return the definitions of `condition` and `selection`.

    With `open_ended` a shop's own facts, events and names are not known, and any is let pass.
    """
    products = schema.product_fields(vocabulary.catalogue.product, vocabulary.groups, open_ended)
    others: Schema | bool = schema.anything() if open_ended else False
    selection = {**schema.mapping(products, others=others), "minProperties": 1}
    properties = {**_facts(vocabulary), **_words(vocabulary, audiences, open_ended)}
    for history in HISTORIES.values():
        properties |= _history(history, vocabulary, products, open_ended)
    condition = {**schema.mapping(properties, others=others), "minProperties": 1}
    number = schema.comparison(Fact("", FactType.number, "A count, or a sum"))
    fields = schema.product_definitions(vocabulary.catalogue.product)
    return {"condition": condition, "selection": selection, "measure": number, **fields}


def _facts(vocabulary: Vocabulary) -> dict[str, Schema]:
    return {name: _fact(fact) for name, fact in vocabulary.catalogue.customer.items()}


def _fact(fact: Fact) -> Schema:
    if fact.type is not FactType.date:
        return schema.comparison(fact)
    found = schema.comparison(fact, _described(RELATIVE, relative.WORDS))
    also = schema.mapping({**_described(RELATIVE, relative.WORDS), windows.ZONE: ZONE}, required=(windows.ZONE,))
    return {**found, "anyOf": [*found["anyOf"], {**also, "maxProperties": 2}]}


def _words(vocabulary: Vocabulary, audiences: Collection[str], open_ended: bool) -> dict[str, Schema]:
    several = {"type": "array", "items": CONDITION, "minItems": 1}
    stages = {"enum": [stage.value for stage in Stage]}
    said = {"says": {"description": "'no' for what was denied", **schema.BOOLEAN}}
    sure = {"confidence": {"description": "More than 0, at most 1; 0.95 unless said", **schema.NUMBER}}
    number = {**schema.NUMBER, "description": "How many of the conditions under 'of'"}
    found: dict[str, Schema] = {
        "all": several,
        "any": several,
        "not": CONDITION,
        "of": several,
        "everyone": {"enum": [True, "yes"]},
        "lifecycle": {"anyOf": [stages, schema.several(stages)]},
        "preference": _pair(vocabulary.preferences, said, open_ended),
        "trait": _pair(vocabulary.traits, sure, open_ended),
        "consent": schema.enum_of(vocabulary.topics, open_ended),
        "audience": schema.enum_of(audiences, open_ended),
        "share": schema.SHARE,
    }
    counts = {name: schema.compared(name, FactType.number, number) for name in ORDERED}
    return {**_described(found, parse.WORDS), **counts}


def _pair(known: Mapping[str, Collection[str]], extra: Mapping[str, Schema], open_ended: bool) -> Schema:
    # A trait with a value for every department has no list of them.
    named = {name: schema.enum_of(values, open_ended or not list(values)) for name, values in known.items()}
    others = schema.TEXT if open_ended else False
    return {**schema.mapping({**named, **extra}, others=others), "minProperties": 1, "maxProperties": 2}


def _history(
    history: ActivityKind, vocabulary: Vocabulary, products: Mapping[str, Schema], open_ended: bool
) -> dict[str, Schema]:
    fields = {name: schema.comparison(fact) for name, fact in history.known(vocabulary.catalogue).items()}
    if open_ended and "event" in fields:
        fields["event"] = schema.anything()
    measures = {name: {"$ref": "#/$defs/measure", "description": MEASURES[name]} for name in history.measures}
    about = {
        **(products if history.of_products else {}),
        **fields,
        **_described(WINDOWS, windows.WORDS),
        windows.ZONE: ZONE,
        **({happenings.UNTRACKED: {**schema.BOOLEAN, "description": TRACKED}} if history.tracked else {}),
    }
    open_fields = open_ended and (history.of_products or history.keyword == "contacted")
    others: Schema | bool = schema.anything() if open_fields else False
    found = {history.keyword: {**schema.mapping({**about, **measures}, others=others), "description": history.help}}
    if history.negated:
        found[history.negated] = {**schema.mapping(about, others=others), "description": f"Not: {history.help}"}
    return found


def _described(found: Mapping[str, Schema], told: Mapping[str, str]) -> dict[str, Schema]:
    return {name: {**each, "description": told[name]} for name, each in found.items()}


def example(vocabulary: Vocabulary, open_ended: bool = False) -> Schema:
    """Return the schema of one example: a made-up customer, and whether the rule means them."""
    others: Schema | bool = {} if open_ended else False
    anything = {"type": "object"}
    facts = {name: {"description": fact.help} for name, fact in vocabulary.catalogue.customer.items()}
    found: dict[str, Schema] = {
        "name": schema.TEXT,
        "as_of": schema.MOMENT,
        "customer": schema.mapping(facts, others=others),
        **{word: _happenings(history, vocabulary, others) for word, history in HISTORIES.items()},
        "consents": anything,
        "preferences": anything,
        "traits": anything,
        "share": schema.BOOLEAN,
        "matches": schema.BOOLEAN,
    }
    return schema.mapping(_described(found, examples.WORDS), required=("matches",))


def _happenings(history: ActivityKind, vocabulary: Vocabulary, others: Schema | bool) -> Schema:
    """Return the schema of one thing that happened, or of a list of them."""
    named = {**(vocabulary.catalogue.product if history.of_products else {}), **history.known(vocabulary.catalogue)}
    group: dict[str, Schema] = {"group": {"description": "Some product of it"}} if history.of_products else {}
    told = {name: {"description": help} for name, help in occasions.WORDS.items() if name in occasions.own(history)}
    line = schema.mapping({**{n: {"description": f.help} for n, f in named.items()}, **group, **told}, others=others)
    return {"anyOf": [line, {"type": "array", "items": line, "minItems": 1}]}
