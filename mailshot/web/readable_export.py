"""Writes a customer's data as an HTML document that they can read: a table for each kind of row.

Fields that only programs need are left out; the JSON export has all of them. Rows are written as they are read, so
that a long history needs no memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from typing import IO, Any
from zoneinfo import ZoneInfo

from mailshot.customer_texts.language import CustomerLanguage
from mailshot.facts import locales, time_zones
from mailshot.store import privacy, profiles
from mailshot.store.engine import Connection
from mailshot.web.export_titles import COLUMN_TITLES, TABLE_TITLES
from mailshot.web.site import PAGES, SiteSettings

#: Fields and tables that tell a reader nothing.
TECHNICAL_FIELDS = frozenset((
    "id", "customer_id", "lot", "address_hash", "digest", "token", "relay", "lease_until", "revision", "suspicion",
    "attempts", "next_attempt_at", "nth", "part", "parser_version", "scrubbed_at", "key", "proof", "gross", "known",
    "lines", "run_id", "plan_id", "offers", "settled_at", "due_at", "old_hash", "new_hash", "client_hash",
))  # fmt: skip
#: By table: fields that are technical only in other tables.
READABLE_FIELDS = {"customer": ("key",), "link": ("id",)}
TECHNICAL_TABLES = frozenset(("conversion_due", "plan_row", "consent", "buyer", "purchase_order", "erasure"))
BATCH_ROWS = 500
Row = Mapping[str, Any]


def shown_columns(table: str, columns: Iterable[str]) -> list[str]:
    """Return the columns of a table that tell a reader something."""
    readable = READABLE_FIELDS.get(table, ())
    return [column for column in columns if column not in TECHNICAL_FIELDS or column in readable]


@dataclass(frozen=True, slots=True)
class ReadableExport:
    """The document of one customer, in their language."""

    settings: SiteSettings
    language: CustomerLanguage

    def write(self, connection: Connection, customer_id: int, file: IO[bytes]) -> None:
        """Write the document. Erased customers have an empty one."""
        facts = profiles.facts_of(connection, [customer_id]).get(customer_id, {})
        zone = time_zones.find_zone(facts.get("time_zone"), self.settings.zone)
        template = PAGES[self.language.tag]
        parts = template.stream(
            "export.html",
            brand=self.settings.brand,
            language=self.language,
            day=self.language.date(datetime.now(zone), zone, self.settings.language),
            tables=self._tables(connection, customer_id, zone),
        )
        for part in parts:
            file.write(part.encode("utf-8", "replace"))

    def _tables(
        self, connection: Connection, customer_id: int, zone: ZoneInfo
    ) -> Iterator[tuple[str, list[str], Iterator[list[str]]]]:
        """Give title, column titles and rows of each table that has any; use all rows before the next table."""
        for name, rows in privacy.export(connection, customer_id):
            first = next(rows, None)
            if first is None or name in TECHNICAL_TABLES:
                for _ in rows:  # later tables depend on what was read
                    pass
                continue
            columns = shown_columns(name, first)
            titles = [self.language.gettext(COLUMN_TITLES[column]) for column in columns]
            cells = self._cells(connection, columns, chain([first], rows), zone)
            yield self.language.gettext(TABLE_TITLES[name]), titles, cells

    def _cells(
        self, connection: Connection, columns: list[str], rows: Iterable[Row], zone: ZoneInfo
    ) -> Iterator[list[str]]:
        source = iter(rows)
        while batch := list(islice(source, BATCH_ROWS)):
            ids = {row["product_id"] for row in batch if row.get("product_id") is not None}
            products = profiles.products(connection, sorted(ids)) if ids else {}
            for row in batch:
                named = {**row, "product_id": products.get(row.get("product_id") or 0, {}).get("name")} if ids else row
                yield [self._cell(named[column], zone) for column in columns]

    def _cell(self, value: Any, zone: ZoneInfo) -> str:
        if value is None:
            return ""
        if isinstance(value, bool):
            return locales.LocaleFormat(self.language.tag).yes_no(value)
        if isinstance(value, Mapping):
            pairs = ((str(name).replace("_", " "), self._cell(part, zone)) for name, part in value.items())
            return "\n".join(f"{name}: {text}" for name, text in pairs)
        if isinstance(value, list):
            return "\n".join(self._cell(part, zone) for part in value)
        return self._moment(value, zone) if isinstance(value, str) else str(value)

    def _moment(self, text: str, zone: ZoneInfo) -> str:
        """Return a moment in words; any other text as it is."""
        try:
            at = datetime.fromisoformat(text) if "T" in text[10:11] else None
        except ValueError:
            at = None
        if at is None or at.tzinfo is None:
            return text
        local = at.astimezone(zone)
        return f"{self.language.date(local, zone, self.settings.language)} {local:%H:%M}"
