"""Reads the query plans of SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from mailshot.store.engine import Store


@contextmanager
def steps(store: Store) -> Iterator[list[str]]:
    """Give a list that holds, at the end, the steps of every statement on SQLite in between, a text for each."""
    plan_steps: list[str] = []
    with _statements(store) as seen:
        yield plan_steps
    with store.read() as connection:
        for statement, parameters in [pair for pair in seen if not pair[0].startswith("BEGIN")]:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            plan_steps.append("\n".join(str(row[-1]) for row in rows))


@contextmanager
def nodes(store: Store) -> Iterator[list[dict[str, Any]]]:
    """Give a list that holds, at the end, the nodes of the plans of every statement on PostgreSQL in between.

    Each statement is run once more for it, and what it changes is undone.
    """
    plan_nodes: list[dict[str, Any]] = []
    with _statements(store) as seen:
        yield plan_nodes
    with store.engine.connect() as connection:
        for statement, parameters in seen:
            (plan,) = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).one()
            plan_nodes += _all_nodes(plan[0]["Plan"])


def _all_nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _all_nodes(child)


@contextmanager
def _statements(store: Store) -> Iterator[list[tuple[str, Any]]]:
    """Give a list to which each statement is added, with its parameters."""
    seen: list[tuple[str, Any]] = []

    def note(connection: object, cursor: object, statement: str, parameters: object, *_: object) -> None:
        seen.append((statement, parameters))

    event.listen(store.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(store.engine, "before_cursor_execute", note)
