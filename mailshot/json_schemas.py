"""The JSON Schema of every kind of YAML file, assembled from the rooms that read them.

Editors use them to complete and check files: `# yaml-language-server: $schema=../schemas/audience.json`. A schema is
slightly more lenient than the reader; `mailshot rules check` decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from mailshot.audience import json_schema as conditions
from mailshot.audience.json_schema import CONDITION
from mailshot.audience.vocabulary import Vocabulary
from mailshot.facts import catalogue, json_schema
from mailshot.facts.json_schema import BOOLEAN, SELECTION, SPAN, STANDS, TEXT, Schema
from mailshot.ingest.mapping import MappingFile as ImportMapping
from mailshot.profile import preferences, senders, topics
from mailshot.rulebook.campaign import CampaignDefinition
from mailshot.rulebook.company import Company
from mailshot.rulebook.rulebook import Rulebook

DIALECT = "https://json-schema.org/draft/2020-12/schema"
NAME: Schema = {"type": ["string", "number"]}


def schema_for(rulebook: Rulebook) -> dict[str, Schema]:
    """Return the schema of every kind of file by its name, with the words of one shop."""
    defined = conditions.definitions(rulebook.vocabulary, rulebook.book.names)
    made = conditions.example_schema(rulebook.vocabulary)
    return _files(defined, made, {"topic": list(rulebook.topics.by_name), "sender": list(rulebook.senders)})


def general() -> dict[str, Schema]:
    """Return the schema of every kind of file for any shop: own facts, events and names are let pass."""
    defined = conditions.definitions(Vocabulary(), open_ended=True)
    return _files(defined, conditions.example_schema(Vocabulary(), open_ended=True), {})


def _files(defined: dict[str, Schema], example: Schema, names: Mapping[str, list[str]]) -> dict[str, Schema]:
    campaign = _model(CampaignDefinition)
    for field, known in names.items():
        campaign["properties"][field] = {**campaign["properties"][field], **json_schema.enum_of(known)}
        campaign["properties"][field].pop("type", None)
    made: dict[str, Callable[[], Schema]] = {
        "audience": lambda: _audience(example),
        "campaign": lambda: campaign,
        "company": lambda: _model(Company),
        "facts": lambda: _model(catalogue.FactsFile),
        "guards": _guards,
        "import": lambda: _model(ImportMapping),
        "preferences": lambda: _model(preferences.PreferencesFile),
        "products": lambda: json_schema.mapping({}, others=SELECTION),
        "senders": lambda: _model(senders.SendersFile),
        "topics": lambda: _model(topics.TopicsFile),
        "trait": _trait,
    }
    return {name: _whole(name, make(), defined) for name, make in made.items()}


def _whole(name: str, schema: Schema, defined: Mapping[str, Schema]) -> Schema:
    own = schema.pop("$defs", {})
    rules = _mentions([schema, own], "condition")
    used = {name: definition for name, definition in defined.items() if rules or name not in ("condition", "measure")}
    used = used if rules or _mentions([schema, own], "selection") else {}
    head = {"$schema": DIALECT, "title": f"Mailshot: {name}", **{k: v for k, v in schema.items() if k != "title"}}
    return {**head, **({"$defs": {**own, **used}} if own or used else {})}


def _mentions(part: Any, name: str) -> bool:
    if isinstance(part, dict):
        return part.get("$ref") == f"#/$defs/{name}" or any(_mentions(inner, name) for inner in part.values())
    return isinstance(part, list) and any(_mentions(inner, name) for inner in part)


def _audience(example: Schema) -> Schema:
    properties: dict[str, Schema] = {
        "audience": {**NAME, "description": "The audience's name"},
        "description": {"type": "string", "description": "What it means, for people"},
        "who": {**CONDITION, "description": "Who belongs"},
        "examples": {"type": "array", "items": example, "description": "Tried by 'mailshot rules test'"},
    }
    return json_schema.mapping(properties, required=("audience", "who"))


def _guards() -> Schema:
    properties: dict[str, Schema] = {
        "guard": {**NAME, "description": "The guard's name"},
        "why": {"type": "string", "description": "The reason, for people"},
        "customers": {**CONDITION, "description": "Who is never mailed about the products"},
        "never": {**SELECTION, "description": "The products"},
    }
    return {"type": "array", "items": json_schema.mapping(properties, required=("guard", "customers", "never"))}


def _trait() -> Schema:
    value = {"label": TEXT, "never": SELECTION, "prior": json_schema.SHARE}
    properties: dict[str, Schema] = {
        "trait": {**NAME, "description": "The trait's name"},
        "help": {"type": "string", "description": "What it means, for people"},
        "among": {**SELECTION, "description": "Purchases that could have shown it"},
        "within": {**SPAN, "description": "How far back purchases are looked at; a year unless said"},
        "values": {"type": "object", "additionalProperties": json_schema.mapping(value, required=("never",))},
        "each": {**TEXT, "description": "A product field with a value each, instead of 'values'"},
        "label": TEXT,
        "more_than": json_schema.NUMBER,
    }
    return json_schema.mapping(properties, required=("trait",))


def _model(kind: type[BaseModel]) -> Schema:
    """Return the schema of a pydantic model, with conditions inserted and the spellings YAML allows."""
    schema: Schema = _spelt(kind.model_json_schema())
    return schema


def _spelt(part: Any) -> Any:
    if isinstance(part, list):
        return [_spelt(inner) for inner in part]
    if not isinstance(part, dict):
        return part
    if STANDS in part:
        return {**{k: v for k, v in part.items() if k in ("description",)}, "$ref": f"#/$defs/{part[STANDS]}"}
    if part.get("type") == "boolean":
        return {**BOOLEAN, **{k: v for k, v in part.items() if k in ("description", "default")}}
    return {key: _spelt(value) for key, value in part.items() if key != "title" or not isinstance(value, str)}
