"""Owns the way from the workbench into the store, the same for every kind; refuses to know any kind's columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mailshot.ingest.fields import Type
from mailshot.ingest.reading import Reading
from mailshot.ingest.stage import Rows, Stage
from mailshot.ingest.summary import Progress, Step
from mailshot.ingest.values import literal, name
from mailshot.store import bulk
from mailshot.store.bulk import Counts
from mailshot.store.engine import Connection

_LITERAL = re.compile(r"'[^']*'|\d+|TRUE|FALSE")


@dataclass(slots=True)
class Loading:
    """One import on its way into the store, within the one transaction of `connection`."""

    stage: Stage
    connection: Connection
    reading: Reading
    mapping: str
    address_key: bytes
    progress: Progress
    good: int = field(default=0)

    @property
    def label(self) -> str:
        return f"{self.reading.item.kind} from {self.reading.file.path.name}"

    def sound(self) -> str:
        """Return the query of the rows without fault; columns are the fields by name, and #line."""
        if not self.stage.one(f"SELECT count(*) FROM {self.reading.faults}"):
            return f"SELECT * FROM {self.reading.rows}"
        return f'SELECT * FROM {self.reading.rows} ANTI JOIN {self.reading.faults} AS f ON "#line" = f.line'

    def look_up(self, table: str, columns: dict[str, str]) -> None:
        """Put columns of all the store's rows on the workbench as `known_<table>`."""
        self.known(table, columns, bulk.read(self.connection, table, list(columns)))

    def known(self, table: str, columns: dict[str, str], batches: Iterable[Sequence[Sequence[Any]]]) -> None:
        self.stage.replace(f"known_{table}", columns, (row for batch in batches for row in batch))

    def refuse_unknown(self, key: str, table: str, column: str, reason: str) -> None:
        """Tell the rows whose `key` names nothing in `known_<table>`."""
        self.stage.run(
            f'INSERT INTO {self.reading.faults} SELECT "#line", {literal(self.reading.label(key))}, r.{name(key)}, '
            f"{literal(reason)} FROM ({self.sound()}) AS r ANTI JOIN known_{table} AS k ON k.{column} = r.{name(key)}"
        )

    def keep_last(self, table: str, query: str, key: Sequence[str]) -> None:
        """Make `table` of the query (with #line), of rows with one key the last, and warn of the others."""
        keys = ", ".join(name(column) for column in key)
        self.stage.run(f"CREATE OR REPLACE TABLE {table} AS {query}")
        self.good = self.stage.one(f"SELECT count(*) FROM {table}")
        if self.good == self.stage.one(f"SELECT count(*) FROM (SELECT DISTINCT {keys} FROM {table})"):
            return
        later = f'lead("#line") OVER (PARTITION BY {keys} ORDER BY "#line")'
        self.stage.run(f'CREATE OR REPLACE TABLE {table} AS SELECT *, {later} AS "#later" FROM {table}')
        self.stage.run(
            f'INSERT INTO {self.reading.warnings} SELECT "#line", NULL, NULL, '
            "'stands again in line ''' || \"#later\" || ''', and that one counts' "
            f'FROM {table} WHERE "#later" IS NOT NULL'
        )
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
    ) -> Counts:
        """Load `columns` (each with the expression that gives it) of a table expression, sorted by the target's key."""
        fixed = {column: said for column, expression in columns.items() if (said := self._fixed(expression))}
        load = bulk.Load(table, tuple(columns), tuple(facts), add_only, fixed)
        shown = ", ".join(f"{expression} AS {name(column)}" for column, expression in columns.items())
        order = ", ".join(name(column) for column in load.key)
        total = self.good

        def moved(done: int) -> None:
            self.progress(Step(self.label, min(done, total), total))

        query = f"SELECT * FROM (SELECT {shown} FROM {source}) ORDER BY {order}"
        return bulk.upsert(self.connection, load, Rows(self.stage, query, instants, tuple(fixed), moved))

    def _fixed(self, expression: str) -> str:
        """Return the SQL literal that an expression is in every row, or ''."""
        if _LITERAL.fullmatch(expression):
            return expression
        for key, target in self.reading.fields.items():
            said = self.reading.item.columns[key].constant
            if expression == name(key) and said is not None and said.strip() and target.type in (Type.text, Type.key):
                return literal(said.strip(" \t\r\n"))
        return ""


def json(facts: dict[str, str]) -> str:
    """Return the expression of a JSON object of the facts (each with its expression) that are known."""
    if not facts:
        return "'{}'"
    pairs = ", ".join(f"{literal(key)}, {expression}" for key, expression in facts.items())
    return f"json_merge_patch('{{}}', json_object({pairs}))::VARCHAR"
