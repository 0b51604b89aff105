"""The mapping file of an import: which file contains which kind of rows, and which column which field.

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

See docs/imports.md for details.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema, field_validator

from mailshot import documents
from mailshot.documents import Document, Problems
from mailshot.facts.catalogue import Catalogue
from mailshot.ingest import column_mapping, fields
from mailshot.ingest.column_mapping import ColumnSource
from mailshot.ingest.fields import EITHER, Kind, Type

# Which options of a column mean something for a field of a type; `values` does for each.
_OPTIONS = {
    Type.number: ("decimal", "thousands", "currency"),
    Type.boolean: ("yes", "no"),
    Type.instant: ("format",),
    Type.date: ("format",),
}


class FileMapping(BaseModel):
    """One file and what its columns mean."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    kind: Kind
    file: str
    distinct: bool = False
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    encoding: str | None = Field(default=None, description="Of a text file that is not UTF-8, as in cp1252")
    # How the cells of the whole file are written, where a column does not say it for itself.
    yes: Annotated[Any, WithJsonSchema(column_mapping.SPELLINGS["yes"])] = None
    no: Annotated[Any, WithJsonSchema(column_mapping.SPELLINGS["no"])] = None
    decimal: Annotated[Any, WithJsonSchema(column_mapping.SPELLINGS["decimal"])] = None
    thousands: Annotated[Any, WithJsonSchema(column_mapping.SPELLINGS["thousands"])] = None
    currency: Annotated[Any, WithJsonSchema(column_mapping.SPELLINGS["currency"])] = None
    columns: dict[
        str, Annotated[ColumnSource, BeforeValidator(column_mapping.read_source), WithJsonSchema(column_mapping.SCHEMA)]
    ] = Field(min_length=1)

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, name: str | None) -> str | None:
        try:
            # Only what is text, and not a transformation such as rot13.
            if name is not None:
                "".encode(name)
        except LookupError:
            raise ValueError(f"'{name}' is not an encoding; write one as in cp1252, latin-1 or utf-16") from None
        return name

    @field_validator("yes", "no", "decimal", "thousands", "currency", mode="before")
    @classmethod
    def _spelling(cls, setting: Any, info: ValidationInfo) -> object:
        return column_mapping.option(str(info.field_name), setting)

    def spelling_of(self, kind: Type) -> dict[str, Any]:
        """Return what the import as a whole says of how values of a type are written."""
        options = {word: getattr(self, word) for word in _OPTIONS.get(kind, ()) if word != "format"}
        return {word: setting for word, setting in options.items() if setting}


class MappingFile(BaseModel):
    """A whole mapping file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    time_zone: str = "UTC"
    imports: list[FileMapping] = Field(min_length=1)

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
class ImportPlan:
    """A mapping with the document it was read from and the fields of each import, in the order they are mapped."""

    path: Path
    document: Document
    mapping: MappingFile
    fields: tuple[dict[str, fields.Field], ...]


def load_mapping(path: Path, catalogue: Catalogue, topics: Collection[str]) -> ImportPlan:
    """Read a mapping and check its fields against the catalogue and the topics. Raises InvalidInput."""
    document = documents.load_document(path)
    mapping = document.model(MappingFile)
    problems = document.problems()
    chosen, imports = [], []
    for number, item in enumerate(mapping.imports):
        chosen.append(_fields(document, problems, number, item, fields.fields_of(item.kind, catalogue, topics)))
        columns = {name: _spelt(document, problems, number, item, field) for name, field in chosen[-1].items()}
        imports.append(item.model_copy(update={"columns": {**item.columns, **columns}}))
    problems.raise_if_any()
    return ImportPlan(path, document, mapping.model_copy(update={"imports": imports}), tuple(chosen))


def _fields(
    document: Document, problems: Problems, number: int, item: FileMapping, known: dict[str, fields.Field]
) -> dict[str, fields.Field]:
    chosen = {}
    for name in item.columns:
        field = known.get(name) or fields.loose(item.kind, name)
        if field:
            chosen[name] = field
        else:
            place = document.at("imports", number, "columns", name)
            problems.unknown(place, f"{item.kind} have no field '{name}'", name, known)
    missing = [f"'{name}'" for name, field in known.items() if field.required and name not in item.columns]
    if all(name in known for name in EITHER) and not any(name in item.columns for name in EITHER):
        missing = [" or ".join(f"'{name}'" for name in EITHER), *missing]
    if missing:
        problems.add(document.at("imports", number, "columns"), f"{item.kind} also need {', '.join(missing)}")
    return chosen


def _spelt(document: Document, problems: Problems, number: int, item: FileMapping, field: fields.Field) -> ColumnSource:
    """Return a column's source with what the import as a whole says of how its cells are written."""
    source = item.columns[field.name]
    fitting = _OPTIONS.get(field.type, ())
    for word in source.options:
        if word not in fitting and word != "values":
            place = document.at("imports", number, "columns", field.name, word)
            remedy = f"Choose {', '.join((*fitting, 'values'))}." if fitting else "Remove it."
            problems.add(place, f"'{word}' means nothing here: '{field.name}' is a {field.type}", remedy)
    if source.constant is not None or any(word in source.options for word in fitting):
        return source
    try:
        return column_mapping.spelt(source, **item.spelling_of(field.type))
    except ValueError as error:
        problems.add(document.at("imports", number), str(error))
        return source
