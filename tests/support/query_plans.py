"""Reads the query plans of SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from mailshot.store.engine import Store


@contextmanager
def steps(store: Store) -> Iterator[list[str]]:
    """Give a list that holds, at the end, the steps of every statement in between, a text for each."""
    seen: list[tuple[str, Any]] = []

    def note(connection: object, cursor: object, statement: str, parameters: object, *_: object) -> None:
        seen.append((statement, parameters))

    plan_steps: list[str] = []
    event.listen(store.engine, "before_cursor_execute", note)
    try:
        yield plan_steps
    finally:
        event.remove(store.engine, "before_cursor_execute", note)
    with store.read() as connection:
        for statement, parameters in [pair for pair in seen if not pair[0].startswith("BEGIN")]:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            plan_steps.append("\n".join(str(row[-1]) for row in rows))
