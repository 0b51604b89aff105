"""The twelve questions: their rules, and hand-written SQL for each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from mailshot import documents
from mailshot.audience.nodes import Condition
from mailshot.audience.registry import AudienceRegistry
from mailshot.audience.vocabulary import Vocabulary
from mailshot.facts import catalogue, product_filters
from mailshot.facts.periods import Span
from mailshot.profile import bucketing
from mailshot.store.column_types import microseconds

ZONE = ZoneInfo("Europe/Berlin")
HERE = Path(__file__).parent
SHAPE = "-- shape: "


@dataclass(frozen=True, slots=True)
class Question:
    """One rule, and the shapes of hand-written SQL that answer it, by database and name."""

    name: str
    condition: Condition
    shapes: dict[str, dict[str, str]]


def questions(as_of: datetime) -> list[Question]:
    """Read all of them."""
    facts = catalogue.read(documents.load_document(HERE / "facts.yaml"))
    groups = product_filters.groups(documents.load_document(HERE / "products.yaml"), facts.product)
    traits = {"favourite_department": ("PRODUCE",), "diet": ("vegetarian",)}
    files = [documents.load_document(path) for path in sorted((HERE / "questions").glob("*.yaml"))]
    book = AudienceRegistry(files, Vocabulary(facts, ("offers", "recipes"), traits, groups=groups))
    conditions = {Path(found.file).stem: found.condition for found in book.audiences()}
    return [Question(name, conditions[name], _shapes(name, as_of)) for name in sorted(conditions)]


def _shapes(name: str, as_of: datetime) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for database in ("duckdb", "sqlite", "postgres"):
        text = (HERE / "questions" / f"{name}.{database}.sql").read_text()
        parts = [part.split("\n", 1) for part in text.split(SHAPE)[1:]]
        found[database] = {shape.strip(): filled(sql, database, name, as_of) for shape, sql in parts}
    return found


def filled(sql: str, database: str, name: str, as_of: datetime) -> str:
    """Put moments (`{90 days}` before `as_of`, `{now}`) and the numbers of the share into the SQL."""
    draw = bucketing.assigner(name.partition("-")[2])

    def value(match: re.Match[str]) -> str:
        if match[1] in ("factor", "offset"):
            return str(draw.factor if match[1] == "factor" else draw.offset)
        span = Span.parse(match[1])
        moment = span.before(as_of.astimezone(ZONE)) if span else as_of
        return f"timestamptz '{moment.isoformat()}'" if database == "postgres" else str(microseconds(moment))

    return re.sub(r"\{([a-z0-9 ]+)\}", value, sql)
