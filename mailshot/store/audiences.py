"""Counts and lists the customers that match a condition; `SCHEMA` is what rules are compiled against."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import datetime
from queue import SimpleQueue
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, CompoundSelect, FromClause, Select, and_, func, select, text, union, union_all

from mailshot.audience.compile import Compiler, Schema, existed, sources
from mailshot.audience.nodes import Condition
from mailshot.errors import Unavailable
from mailshot.store import answers, dialect, rule_schema, tables
from mailshot.store.engine import Connection, Store
from mailshot.store.erasures import Erasure
from mailshot.store.selectivity import DataStatistics

SCHEMA = Schema(
    customer=dialect.table(tables.Customer),
    erasure=dialect.table(Erasure),
    product=dialect.table(tables.Product),
    consent=dialect.table(tables.Consent),
    consent_log=dialect.table(tables.ConsentLog),
    address_withdrawal=dialect.table(tables.AddressWithdrawal),
    preference=dialect.table(tables.Preference),
    trait=dialect.table(tables.Trait),
    sources=rule_schema.SOURCES,
)
#: What the key of an erased customer begins with.
ERASED_KEY = "erased:"
#: Ids for which a further connection is worth opening.
LEAST_IDS = 50_000
Part = TypeVar("Part")
#: The words of conditions on what customers state about themselves.
STATING = frozenset({"preference", "trait"})


def compiler(as_of: datetime, zone: ZoneInfo, back: bool = False) -> Compiler:
    """Return a compiler of rules into selects; `back` uses only the consents and preferences stated before `as_of`."""
    if not back:
        return Compiler(SCHEMA, as_of, zone)
    return Compiler(replace(SCHEMA, preference=answers.stated(as_of)), as_of, zone, before=as_of)


def with_statistics(connection: Connection, compiled: Compiler) -> Compiler:
    """Return the compiler with estimates of how selective conditions are, so that it takes the faster access path."""
    _make_room(connection)
    return replace(compiled, statistics=DataStatistics(connection, compiled))


def _make_room(connection: Connection) -> None:
    """Let PostgreSQL keep a million ids in memory, and not spend time on JIT, until the transaction ends."""
    if connection.dialect.name != "sqlite":
        connection.execute(text("SET LOCAL work_mem = '128MB'"))
        connection.execute(text("SET LOCAL jit = off"))


def existing_members(compiled: Compiler, condition: Condition) -> Select[Any]:
    """Return the select of the customers who match the condition and existed by then."""
    if compiled.before is None:
        return compiled.select(condition)
    customer = SCHEMA.customer.c.id
    matches = compiled.clause(condition)
    return select(customer).where(matches, existed(SCHEMA, compiled.before), *compiled.scope.in_range(customer))


def count_matching(store: Store, compiled: Compiler, condition: Condition) -> int:
    """Count the customers that match `condition`, on several cores."""
    with store.read() as connection:
        chosen = with_statistics(connection, compiled)
        queries = [existing_members(chosen.within(ids), condition) for ids in split_ids(store, _ids(connection))]
    return count_parallel(store, _number, queries)


def _number(connection: Connection, query: Select[Any]) -> int:
    _make_room(connection)
    return int(connection.execute(select(func.count()).select_from(query.subquery())).scalar_one())


def _ids(connection: Connection) -> range:
    # Two queries: SQLite looks each up in the key, but scans the table for min and max in one query.
    first, last = (connection.scalar(select(edge(SCHEMA.customer.c.id))) for edge in (func.min, func.max))
    return range(first or 0, (last or 0) + 1)


def members(connection: Connection, compiled: Compiler, condition: Condition) -> Iterator[int]:
    """Give the ids of the customers that match `condition`, in order."""
    query = existing_members(with_statistics(connection, compiled), condition)
    ordered = query.order_by(query.selected_columns.id)
    for row in connection.execute(ordered, execution_options={"yield_per": 10_000}):
        yield int(row[0])


def not_erased() -> ColumnElement[bool]:
    """Whether a customer was not erased."""
    return sources.not_erased(SCHEMA, SCHEMA.customer.c.id)


def customers(connection: Connection) -> int:
    """Count the customers who are not erased."""
    return int(connection.execute(select(func.count()).select_from(SCHEMA.customer).where(not_erased())).scalar_one())


def split_ids(store: Store, ids: range) -> Sequence[range | None]:
    """Split the ids into as many ranges as are worth a connection; [None], for all ids, where one is enough."""
    number = min(store.readers, len(ids) // LEAST_IDS)
    return key_ranges(ids, number) if number > 1 else [None]


def key_ranges(ids: range, number: int) -> list[range]:
    """Split a range into at most `number` of about the same length, none of them empty."""
    step = -(-len(ids) // max(number, 1))
    return [ids[start : start + step] for start in range(0, len(ids), step)] if step else []


def count_parallel(store: Store, count_one: Callable[[Connection, Part], int], parts: Sequence[Part]) -> int:
    """Count each part and return the total, on as many connections as the server gives.

    Each connection sees the data as of its own start. When one fails, or the user interrupts, the others are
    cancelled. Raises Unavailable without any connection.
    """
    with ExitStack() as stack:
        connections = list(_opened(store, stack, len(parts)))
        if len(connections) < 2:
            return sum(count_one(connections[0], part) for part in parts) if parts else 0
        free: SimpleQueue[Connection] = SimpleQueue()
        for connection in connections:
            _use_one_core(store, connection)
            free.put(connection)

        def count_on_free(part: Part) -> int:
            connection = free.get()
            try:
                return count_one(connection, part)
            finally:
                free.put(connection)

        with ThreadPoolExecutor(len(connections)) as pool:
            counts = [pool.submit(count_on_free, part) for part in parts]
            try:
                return sum(number.result() for number in as_completed(counts))
            except BaseException:
                _cancel(store, connections, counts)
                raise


def _opened(store: Store, stack: ExitStack, number: int) -> Iterator[Connection]:
    """Open one connection, and up to `number` as long as the server gives them."""
    if number:
        yield stack.enter_context(store.read())
    with suppress(Unavailable):
        for _ in range(number - 1):
            yield stack.enter_context(store.read())


def _use_one_core(store: Store, connection: Connection) -> None:
    if not store.sqlite:
        connection.execute(text("SET LOCAL max_parallel_workers_per_gather = 0"))


def _cancel(store: Store, connections: Sequence[Connection], counts: Sequence[Future[int]]) -> None:
    drivers = [connection.connection.driver_connection for connection in connections]
    for future in counts:
        future.cancel()
    # Repeatedly: a query that has not begun yet is not interrupted.
    while wait(counts, timeout=0.1).not_done:
        for driver in drivers:
            assert driver is not None
            driver.interrupt() if store.sqlite else driver.cancel()


def bound(compiled: Compiler, condition: Condition) -> Select[Any] | CompoundSelect[Any]:
    """Return the query of the ids of the customers whom a guard with this condition protects.

    What one customer stated holds for all customers of the inbox.
    """
    own = compiled.select(condition)
    if not STATING & set(condition.words):
        return own
    stated = compiled.schema.preference
    shared = _stated_by_others(stated)
    inbox = union_all(select(*_stated_columns(stated)), shared).subquery("inbox_preference")
    together = replace(compiled, schema=replace(compiled.schema, preference=inbox))
    mates = select(shared.subquery("mate").c.customer_id)
    (mate,) = mates.selected_columns
    return union(own, mates.where(mate.in_(together.select(condition))))


def _stated_by_others(stated: FromClause) -> Select[Any]:
    """Return what others with the same address say about themselves, as if the customer had said it."""
    other, mine = SCHEMA.customer.alias("other"), SCHEMA.customer.alias("one")
    _, *columns = _stated_columns(stated)
    return (
        select(mine.c.id.label("customer_id"), *columns)
        .select_from(stated.join(other, other.c.id == stated.c.customer_id))
        .join(mine, and_(mine.c.address_hash == other.c.address_hash, mine.c.id != other.c.id))
        .where(stated.c.holds.is_(True))
    )


def _stated_columns(stated: FromClause) -> list[ColumnElement[Any]]:
    return [stated.c[name] for name in ("customer_id", "name", "value", "holds")]
