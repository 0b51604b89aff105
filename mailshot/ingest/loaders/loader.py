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
from mailshot.profile.preferences import NO_QUESTIONS, Statements
from mailshot.store import bulk
from mailshot.store.bulk import Counts
from mailshot.store.engine import STAGED_TABLES, Connection
from mailshot.store.staging import StagedImport

# Fields of these types are stored in another unit than in the file: ten-thousandths, microseconds.
_CONVERTED = (Type.number, Type.instant, Type.boolean, Type.date)
_LITERAL = re.compile(r"'[^']*'|\d+|TRUE|FALSE")


@dataclass(slots=True)
class Loading:
    """One file being loaded into the store, within the transaction of `connection`."""

    db: StagingDatabase
    connection: Connection
    reading: Reading
    mapping: str
    address_key: bytes
    progress: Progress
    #: The time of the import.
    now: datetime
    valid_count: int = field(default=0)
    #: Set for large files of purchases on SQLite; None: load within the transaction of `connection`.
    staging: StagedImport | None = None
    #: The questions of rules/preferences.yaml.
    statements: Statements = NO_QUESTIONS

    @property
    def label(self) -> str:
        return f"{self.reading.item.kind} from {self.reading.file.name}"

    def valid_rows(self) -> str:
        """Return the query of the valid rows; its columns are the fields by name, and #line."""
        if not self.db.one(f"SELECT count(*) FROM {self.reading.faults}"):
            return f"SELECT * FROM {self.reading.rows}"
        return f'SELECT * FROM {self.reading.rows} ANTI JOIN {self.reading.faults} AS f ON "#line" = f.line'

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Let `connection` write for a moment. For staged imports it only reads otherwise."""
        if self.staging is None:
            yield
            return
        reader = self.connection
        with self.staging.step(staged=False) as self.connection:
            yield
        self.connection = reader
        self.release_snapshot()

    def release_snapshot(self) -> None:
        """End the read transaction: SQLite's log need not keep its snapshot, and the next query sees new data."""
        if self.staging is not None:
            self.connection.rollback()

    def look_up(self, table: str, columns: dict[str, str]) -> None:
        """Copy columns of all rows of a store table into the staging database as `known_<table>`."""
        self.add_known(table, columns, bulk.read_batches(self.connection, table, list(columns)))

    def add_known(self, table: str, columns: dict[str, str], batches: Iterable[Sequence[Sequence[Any]]]) -> None:
        self.db.replace(f"known_{table}", columns, (row for batch in batches for row in batch))

    def reject(self, key: str, reason: str, rows: str, value: str = "") -> None:
        """Reject the rows of a table expression (with #line) because of the cell of `key`.

        `reason` and `value` are SQL expressions; '' as value: the cell's own.
        """
        self._note(self.reading.faults, key, reason, rows, value)

    def warn(self, key: str, reason: str, rows: str, value: str = "") -> None:
        """Warn about the rows of a table expression, which are imported nevertheless."""
        self._note(self.reading.warnings, key, reason, rows, value)

    def _note(self, table: str, key: str, reason: str, rows: str, value: str) -> None:
        label, value_sql = literal(self.reading.label(key)) if key else "NULL", value or (name(key) if key else "NULL")
        notes = f'SELECT "#line" AS line, {label} AS label, {value_sql}, {reason} AS reason, NULL FROM {rows}'
        if value or not key or self.reading.fields[key].type not in _CONVERTED:
            self.db.run(f"INSERT INTO {table} {notes}")
        elif self.db.one(f"SELECT count(*) FROM {rows}"):
            cells = parse_file.cells(self.db, self.reading, key)
            joined = f'(SELECT line, label, reason FROM ({notes})) LEFT JOIN ({cells}) ON "#line" = line'
            self.db.run(f"INSERT INTO {table} SELECT line, label, cell, reason, NULL FROM {joined}")

    def reject_dropped(self, field: str, lines: str) -> None:
        """Reject the rows, given by a query of their lines, whose value of this field was dropped."""
        lost = f"FROM {self.reading.warnings} WHERE field = {literal(field)} AND line IN ({lines})"
        self.db.run(f"INSERT INTO {self.reading.faults} SELECT * {lost}")
        self.db.run(f"DELETE {lost}")

    def drop_value(self, field: str, reason: str, rows: str) -> None:
        """Drop the value of this field from the rows of a table expression (with #line).

        Their other values are imported, and an existing row keeps its value. `reason` is an SQL expression.
        """
        table, label = self.reading.rows, literal(self.reading.label(field))
        self.db.run(
            f'INSERT INTO {self.reading.warnings} SELECT "#line", {label}, t.{name(field)}, {reason}, {literal(field)} '
            f'FROM {table} AS t JOIN {rows} USING ("#line")'
        )
        self.db.run(
            f'UPDATE {table} SET {name(field)} = NULL, "#lost" = list_append(coalesce("#lost", []), {literal(field)}) '
            f'WHERE "#line" IN (SELECT "#line" FROM {rows})'
        )

    def reject_unknown(self, key: str, table: str, column: str, reason: str) -> None:
        """Reject the rows whose `key` is not in `known_<table>`, in addition to their other problems."""
        unknown = f"{self.reading.rows} AS r ANTI JOIN known_{table} AS k ON k.{column} = r.{name(key)}"
        self.reject(key, literal(reason), f"{unknown} WHERE r.{name(key)} IS NOT NULL", f"r.{name(key)}")

    def keep_last(self, table: str, query: str, key: Sequence[str]) -> None:
        """Create `table` from the query (with #line) with the last row of each key, and warn about the others."""
        keys = ", ".join(name(column) for column in key)
        self.db.run(f"CREATE OR REPLACE TABLE {table} AS {query}")
        self.valid_count = self.db.one(f"SELECT count(*) FROM {table}")
        if self.valid_count == self.db.one(f"SELECT count(*) FROM (SELECT DISTINCT {keys} FROM {table})"):
            return
        later = f'lead("#line") OVER (PARTITION BY {keys} ORDER BY "#line")'
        self.db.run(f'CREATE OR REPLACE TABLE {table} AS SELECT *, {later} AS "#later" FROM {table}')
        again = "'is repeated further down (line ' || \"#later\" || '), and the later row is used'"
        self.warn("", again, f'{table} WHERE "#later" IS NOT NULL')
        self.db.run(f'DELETE FROM {table} WHERE "#later" IS NOT NULL')
        self.valid_count = self.db.one(f"SELECT count(*) FROM {table}")

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
        """Load `columns` (each with its SQL expression) of a table expression, sorted by the target's key.

        A value that was dropped because its cell was unreadable stays as it is in the store: rows with the same dropped
        fields are loaded together, without these fields. `derived` names the field of a column where the names differ.
        A stored entry after `latest` is due to a wrong clock.
        """
        constants = {
            column: constant for column, expression in columns.items() if (constant := self._constant(expression))
        }
        selected = ", ".join(f"{expression} AS {name(column)}" for column, expression in columns.items())
        groups, counts, done = self._dropped_sets(source), Counts(0, 0), 0
        for lost in groups:
            kept_columns = [column for column in columns if (derived or {}).get(column, column) not in lost]
            kept_facts = tuple(fact for fact in facts if not {fact, FACT_PREFIX + fact} & set(lost))
            kept_fixed = {column: constant for column, constant in constants.items() if column in kept_columns}
            load = bulk.BulkLoad(table, tuple(kept_columns), kept_facts, add_only, kept_fixed, latest or self.now)
            # Computed over all rows first: an expression may be a window function.
            rows = f'SELECT * FROM (SELECT {selected}, "#lost" FROM {source}) WHERE {_has_dropped(lost)}'
            rows = rows if len(groups) > 1 else f"SELECT {selected} FROM {source}"
            query = f"SELECT {_names(kept_columns)} FROM ({rows}) ORDER BY {_names(load.key)}"
            times = [column for column in instants if column in kept_columns]
            progress = self._progress(done)
            part = self._load(load, StagedRows(self.db, query, times, tuple(kept_fixed), progress))
            counts = Counts(counts.added + part.added, counts.changed + part.changed)
            done += self.db.one(f"SELECT count(*) FROM ({rows})") if len(groups) > 1 else 0
        return counts

    def _load(self, load: bulk.BulkLoad, rows: StagedRows) -> Counts:
        if self.staging and load.table in STAGED_TABLES:
            return Counts(*self.staging.upsert(load, rows))
        return bulk.upsert(self.connection, load, rows)

    def _progress(self, before: int) -> Callable[[int], None]:
        """Return a callback that reports progress; `before` rows were loaded before this part."""
        total = self.valid_count
        return lambda done: self.progress(Step(self.label, min(before + done, total), total))

    def _dropped_sets(self, source: str) -> list[tuple[str, ...]]:
        """Return the distinct sets of dropped fields of a table expression; () for none."""
        columns = {row[0] for row in self.db.run(f"DESCRIBE SELECT * FROM {source}")}
        if "#lost" not in columns:
            return [()]
        rows = self.db.run(f'SELECT DISTINCT "#lost" FROM {source}')
        return sorted(tuple(lost or ()) for (lost,) in rows) or [()]

    def _constant(self, expression: str) -> str:
        """Return the SQL literal if the expression is constant for all rows, else ''."""
        if _LITERAL.fullmatch(expression):
            return expression
        for key, target in self.reading.fields.items():
            constant = self.reading.item.columns[key].constant
            # A code may be normalised to another spelling than the mapping's.
            if (
                key not in CODE_FIELDS
                and expression == name(key)
                and constant is not None
                and constant.strip()
                and target.type in (Type.text, Type.key)
            ):
                return literal(constant.strip(" \t\r\n"))
        return ""


def _names(columns: Iterable[str]) -> str:
    return ", ".join(map(name, columns))


def _has_dropped(lost: Sequence[str]) -> str:
    return f'"#lost" = [{", ".join(map(literal, lost))}]' if lost else '"#lost" IS NULL'


def json(facts: dict[str, str]) -> str:
    """Return the expression of a JSON object of the facts (each with its expression) that are not NULL."""
    if not facts:
        return "'{}'"
    pairs = ", ".join(f"{literal(key)}, {expression}" for key, expression in facts.items())
    return f"json_merge_patch('{{}}', json_object({pairs}))::VARCHAR"
