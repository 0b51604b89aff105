"""Owns the mapping file: which file feeds which kind, and which column which field; refuses to open a data file.

name: Spring shop
time_zone: Europe/Oslo            # of times in the files that name none
imports:
  - kind: customers
    file: customers.csv           # beside this file, in the --data folder, or package:<package>/<path>
    columns:
      key: customer_no            # a column
      email: "{login}@shop.test"  # a text with columns in it
      country: {value: NO}        # the same for every row
      joined_at: {column: since, format: "%d.%m.%Y"}
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, field_validator

from mailshot import documents
from mailshot.documents import Document, Problems
from mailshot.ingest import fields
from mailshot.ingest.fields import Kind
from mailshot.profile.catalogue import Catalogue

_HOLE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a field's value comes from: texts and column names in turn (`parts` begins with a text), or a constant."""

    parts: tuple[str, ...] = ()
    constant: str | None = None
    format: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        return self.parts[1::2]

    @property
    def plain(self) -> bool:
        """Whether it is one column and nothing else, so that the column's own type counts."""
        return len(self.parts) == 3 and not self.parts[0] and not self.parts[2]

    def __str__(self) -> str:
        if self.constant is not None:
            return "(constant)"
        return " + ".join(self.columns)


def _source(value: Any) -> Source:
    if isinstance(value, str):
        return Source(tuple(_HOLE.split(value))) if _HOLE.search(value) else Source(("", value, ""))
    if isinstance(value, dict) and set(value) == {"value"} and isinstance(value["value"], str):
        return Source(constant=value["value"])
    if isinstance(value, dict) and set(value) == {"column", "format"}:
        return Source(("", str(value["column"]), ""), format=str(value["format"]))
    raise ValueError("must be a column, a text with {column}, {value: …}, or {column: …, format: …}; name a column")


_SOURCE = {
    "anyOf": [
        {"type": "string", "description": "A column, or a text with {column} in it"},
        {
            "type": "object",
            "properties": {"value": {"type": ["string", "number", "boolean"], "description": "The same for every row"}},
            "required": ["value"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"column": {"type": "string"}, "format": {"type": "string", "examples": ["%d.%m.%Y"]}},
            "required": ["column", "format"],
            "additionalProperties": False,
        },
    ]
}


class Import(BaseModel):
    """One file and what its columns mean."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    kind: Kind
    file: str
    distinct: bool = False
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    columns: dict[str, Annotated[Source, BeforeValidator(_source), WithJsonSchema(_SOURCE)]] = Field(min_length=1)


class Mapping(BaseModel):
    """A whole mapping file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    time_zone: str = "UTC"
    imports: list[Import] = Field(min_length=1)

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, OSError, ValueError):
            raise ValueError(f"'{name}' is not a time zone; write one as in 'Europe/Oslo'") from None
        return name

    @property
    def slug(self) -> str:
        """The name as part of a file's name."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-") or "import"


@dataclass(frozen=True, slots=True)
class Plan:
    """A mapping with the document it was read from and the fields of each import, in the order they are mapped."""

    path: Path
    document: Document
    mapping: Mapping
    fields: tuple[dict[str, fields.Field], ...]


def load(path: Path, catalogue: Catalogue) -> Plan:
    """Read a mapping and check its fields against the catalogue. Raises InvalidInput."""
    document = documents.load(path)
    mapping = document.model(Mapping)
    problems = document.problems()
    chosen = tuple(_fields(document, problems, number, item, catalogue) for number, item in enumerate(mapping.imports))
    problems.raise_if_any()
    return Plan(path, document, mapping, chosen)


def _fields(
    document: Document, problems: Problems, number: int, item: Import, catalogue: Catalogue
) -> dict[str, fields.Field]:
    known = fields.of(item.kind, catalogue)
    chosen = {}
    for name in item.columns:
        field = known.get(name) or fields.loose(item.kind, name)
        if field:
            chosen[name] = field
        else:
            place = document.at("imports", number, "columns", name)
            problems.unknown(place, f"{item.kind} have no field '{name}'", name, known)
    missing = [name for name, field in known.items() if field.required and name not in item.columns]
    if missing:
        listed = ", ".join(f"'{name}'" for name in missing)
        problems.add(document.at("imports", number, "columns"), f"{item.kind} also need {listed}")
    return chosen
