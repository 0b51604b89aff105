"""Loads rows from the staging database into the store; the base of all loaders."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mailshot.ingest import parse_file
from mailshot.ingest.duckdb_sql import literal, name
from mailshot.ingest.fields import CODE_FIELDS, FACT_PREFIX, Type
from mailshot.ingest.import_report import Progress, Step
from mailshot.ingest.parse_file import Reading
from mailshot.ingest.staging_database import StagedRows, StagingDatabase
from mailshot.store import bulk
from mailshot.store.bulk import Counts
from mailshot.store.engine import STAGED_TABLES, Connection
from mailshot.store.staging import Staging

# What a field of these types holds is not what the file says: ten-thousandths, microseconds.
_CONVERTED = (Type.number, Type.instant, Type.boolean, Type.date)
_LITERAL = re.compile(r"'[^']*'|\d+|TRUE|FALSE")


@dataclass(slots=True)
class Loading:
    """One import on its way into the store, within the one transaction of `connection`."""

    stage: StagingDatabase
    connection: Connection
    reading: Reading
    mapping: str
    address_key: bytes
    progress: Progress
    #: The moment of the import.
    now: datetime
    good: int = field(default=0)
    #: The way of purchases into SQLite, out of sight and in short transactions; None: within `connection`'s.
    staging: Staging | None = None

    @property
    def label(self) -> str:
        return f"{self.reading.item.kind} from {self.reading.file.name}"

    def sound(self) -> str:
        """Return the query of the rows without fault; columns are the fields by name, and #line."""
        if not self.stage.one(f"SELECT count(*) FROM {self.reading.faults}"):
            return f"SELECT * FROM {self.reading.rows}"
        return f'SELECT * FROM {self.reading.rows} ANTI JOIN {self.reading.faults} AS f ON "#line" = f.line'

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Let `connection` write for a moment, where the lines of this import are staged: else it only reads."""
        if self.staging is None:
            yield
            return
        reader = self.connection
        with self.staging.step(staged=False) as self.connection:
            yield
        self.connection = reader
        self.rest()

    def rest(self) -> None:
        """Stop looking at one state of the data: SQLite's log need not keep it, and the next look sees the newest."""
        if self.staging is not None:
            self.connection.rollback()

    def look_up(self, table: str, columns: dict[str, str]) -> None:
        """Put columns of all the store's rows on the workbench as `known_<table>`."""
        self.known(table, columns, bulk.read(self.connection, table, list(columns)))

    def known(self, table: str, columns: dict[str, str], batches: Iterable[Sequence[Sequence[Any]]]) -> None:
        self.stage.replace(f"known_{table}", columns, (row for batch in batches for row in batch))

    def refuse(self, key: str, reason: str, rows: str, value: str = "") -> None:
        """Reject the rows of a table expression (with #line) because of the cell of `key`.

        `reason` and `value` are expressions; the value is what stands in the cell unless said otherwise.
        """
        self._note(self.reading.faults, key, reason, rows, value)

    def warn(self, key: str, reason: str, rows: str, value: str = "") -> None:
        """Tell something of the rows of a table expression, which come in all the same."""
        self._note(self.reading.warnings, key, reason, rows, value)

    def _note(self, table: str, key: str, reason: str, rows: str, value: str) -> None:
        label, shown = literal(self.reading.label(key)) if key else "NULL", value or (name(key) if key else "NULL")
        notes = f'SELECT "#line" AS line, {label} AS label, {shown}, {reason} AS reason, NULL FROM {rows}'
        if value or not key or self.reading.fields[key].type not in _CONVERTED:
            self.stage.run(f"INSERT INTO {table} {notes}")
        elif self.stage.one(f"SELECT count(*) FROM {rows}"):
            cells = parse_file.cells(self.stage, self.reading, key)
            joined = f'(SELECT line, label, reason FROM ({notes})) LEFT JOIN ({cells}) ON "#line" = line'
            self.stage.run(f"INSERT INTO {table} SELECT line, label, cell, reason, NULL FROM {joined}")

    def reject_lost(self, field: str, lines: str) -> None:
        """Reject the rows, given by a query of their lines, that lost this field."""
        lost = f"FROM {self.reading.warnings} WHERE field = {literal(field)} AND line IN ({lines})"
        self.stage.run(f"INSERT INTO {self.reading.faults} SELECT * {lost}")
        self.stage.run(f"DELETE {lost}")

    def lose(self, field: str, reason: str, rows: str) -> None:
        """Take this field from the rows of a table expression (with #line), which come in without it.

        Their other values come in, and a known row keeps the value it has; `reason` is an expression.
        """
        table, label = self.reading.rows, literal(self.reading.label(field))
        self.stage.run(
            f'INSERT INTO {self.reading.warnings} SELECT "#line", {label}, t.{name(field)}, {reason}, {literal(field)} '
            f'FROM {table} AS t JOIN {rows} USING ("#line")'
        )
        self.stage.run(
            f'UPDATE {table} SET {name(field)} = NULL, "#lost" = list_append(coalesce("#lost", []), {literal(field)}) '
            f'WHERE "#line" IN (SELECT "#line" FROM {rows})'
        )

    def refuse_unknown(self, key: str, table: str, column: str, reason: str) -> None:
        """Tell the rows whose `key` names nothing in `known_<table>`, whatever else is wrong with them."""
        unknown = f"{self.reading.rows} AS r ANTI JOIN known_{table} AS k ON k.{column} = r.{name(key)}"
        self.refuse(key, literal(reason), f"{unknown} WHERE r.{name(key)} IS NOT NULL", f"r.{name(key)}")

    def keep_last(self, table: str, query: str, key: Sequence[str]) -> None:
        """Make `table` of the query (with #line), of rows with one key the last, and warn of the others."""
        keys = ", ".join(name(column) for column in key)
        self.stage.run(f"CREATE OR REPLACE TABLE {table} AS {query}")
        self.good = self.stage.one(f"SELECT count(*) FROM {table}")
        if self.good == self.stage.one(f"SELECT count(*) FROM (SELECT DISTINCT {keys} FROM {table})"):
            return
        later = f'lead("#line") OVER (PARTITION BY {keys} ORDER BY "#line")'
        self.stage.run(f'CREATE OR REPLACE TABLE {table} AS SELECT *, {later} AS "#later" FROM {table}')
        again = "'is repeated further down (line ' || \"#later\" || '), and the later row is used'"
        self.warn("", again, f'{table} WHERE "#later" IS NOT NULL')
        self.stage.run(f'DELETE FROM {table} WHERE "#later" IS NOT NULL')
        self.good = self.stage.one(f"SELECT count(*) FROM {table}")

    def upsert(
        self,
        table: str,
        columns: dict[str, str],
        source: str,
        *,
        instants: Sequence[str] = (),
        facts: Sequence[str] = (),
        add_only: bool = False,
        derived: Mapping[str, str] | None = None,
        latest: datetime | None = None,
    ) -> Counts:
        """Load `columns` (each with the expression that gives it) of a table expression, sorted by the target's key.

        What a row lost because its cell could not be read stays as the store has it: rows that lost the same fields
        are loaded together, without those. `derived` names the field a column is made of, where the names differ;
        an entry of the store after `latest` came of a wrong clock.
        """
        fixed = {column: said for column, expression in columns.items() if (said := self._fixed(expression))}
        shown = ", ".join(f"{expression} AS {name(column)}" for column, expression in columns.items())
        groups, counts, done = self._lost_sets(source), Counts(0, 0), 0
        for lost in groups:
            kept = [column for column in columns if (derived or {}).get(column, column) not in lost]
            kept_facts = tuple(fact for fact in facts if not {fact, FACT_PREFIX + fact} & set(lost))
            kept_fixed = {column: said for column, said in fixed.items() if column in kept}
            load = bulk.BulkLoad(table, tuple(kept), kept_facts, add_only, kept_fixed, latest or self.now)
            # Computed over all rows first: an expression may count them.
            rows = f'SELECT * FROM (SELECT {shown}, "#lost" FROM {source}) WHERE {_is_lost(lost)}'
            rows = rows if len(groups) > 1 else f"SELECT {shown} FROM {source}"
            query = f"SELECT {_names(kept)} FROM ({rows}) ORDER BY {_names(load.key)}"
            times = [column for column in instants if column in kept]
            progress = self._progress(done)
            part = self._load(load, StagedRows(self.stage, query, times, tuple(kept_fixed), progress))
            counts = Counts(counts.added + part.added, counts.changed + part.changed)
            done += self.stage.one(f"SELECT count(*) FROM ({rows})") if len(groups) > 1 else 0
        return counts

    def _load(self, load: bulk.BulkLoad, rows: StagedRows) -> Counts:
        if self.staging and load.table in STAGED_TABLES:
            return Counts(*self.staging.upsert(load, rows))
        return bulk.upsert(self.connection, load, rows)

    def _progress(self, before: int) -> Callable[[int], None]:
        """Return what tells how many rows are loaded, so many `before` this part among them."""
        total = self.good
        return lambda done: self.progress(Step(self.label, min(before + done, total), total))

    def _lost_sets(self, source: str) -> list[tuple[str, ...]]:
        """Return the different sets of fields that rows of a table expression lost, () for none."""
        columns = {row[0] for row in self.stage.run(f"DESCRIBE SELECT * FROM {source}")}
        if "#lost" not in columns:
            return [()]
        found = self.stage.run(f'SELECT DISTINCT "#lost" FROM {source}')
        return sorted(tuple(lost or ()) for (lost,) in found) or [()]

    def _fixed(self, expression: str) -> str:
        """Return the SQL literal that an expression is in every row, or ''."""
        if _LITERAL.fullmatch(expression):
            return expression
        for key, target in self.reading.fields.items():
            said = self.reading.item.columns[key].constant
            # A code may be written otherwise than the mapping does.
            if (
                key not in CODE_FIELDS
                and expression == name(key)
                and said is not None
                and said.strip()
                and target.type in (Type.text, Type.key)
            ):
                return literal(said.strip(" \t\r\n"))
        return ""


def _names(columns: Iterable[str]) -> str:
    return ", ".join(map(name, columns))


def _is_lost(lost: Sequence[str]) -> str:
    return f'"#lost" = [{", ".join(map(literal, lost))}]' if lost else '"#lost" IS NULL'


def json(facts: dict[str, str]) -> str:
    """Return the expression of a JSON object of the facts (each with its expression) that are known."""
    if not facts:
        return "'{}'"
    pairs = ", ".join(f"{literal(key)}, {expression}" for key, expression in facts.items())
    return f"json_merge_patch('{{}}', json_object({pairs}))::VARCHAR"
