"""Owns asking the database who satisfies a rule; refuses to read rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import datetime
from queue import SimpleQueue
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, CompoundSelect, Select, and_, func, select, text, union, union_all

from mailshot.audience.compile import Compiler, Schema, existed, sources
from mailshot.audience.nodes import Condition
from mailshot.errors import Unavailable
from mailshot.store import dialect, rule_schema, tables
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


def compiler(as_of: datetime, zone: ZoneInfo, back: bool = False) -> Compiler:
    """Return a compiler of rules into selects over our tables; `back` hears only what had been said by `as_of`."""
    return Compiler(SCHEMA, as_of, zone, before=as_of if back else None)


def with_statistics(connection: Connection, compiled: Compiler) -> Compiler:
    """Return the compiler with an eye for how much conditions mean, so that it takes the shorter way."""
    _make_room(connection)
    return replace(compiled, statistics=DataStatistics(connection, compiled))


def _make_room(connection: Connection) -> None:
    """Let PostgreSQL keep a million ids in memory until the transaction ends, and not compile before it begins."""
    if connection.dialect.name != "sqlite":
        connection.execute(text("SET LOCAL work_mem = '128MB'"))
        connection.execute(text("SET LOCAL jit = off"))


def existing_members(compiled: Compiler, condition: Condition) -> Select[Any]:
    """Return the select of who satisfies the condition and was a customer by then."""
    if compiled.before is None:
        return compiled.select(condition)
    customer = SCHEMA.customer.c.id
    found = compiled.clause(condition)
    return select(customer).where(found, existed(SCHEMA, compiled.before), *compiled.universe.holds(customer))


def count(store: Store, compiled: Compiler, condition: Condition) -> int:
    """Count the customers that satisfy `condition`, on several cores."""
    with store.read() as connection:
        chosen = with_statistics(connection, compiled)
        found = [existing_members(chosen.within(ids), condition) for ids in parts(store, _ids(connection))]
    return count_parallel(store, _number, found)


def _number(connection: Connection, found: Select[Any]) -> int:
    _make_room(connection)
    return int(connection.execute(select(func.count()).select_from(found.subquery())).scalar_one())


def _ids(connection: Connection) -> range:
    # Asked one by one: SQLite looks both up in the key, but goes through the whole table for the two together.
    first, last = (connection.scalar(select(edge(SCHEMA.customer.c.id))) for edge in (func.min, func.max))
    return range(first or 0, (last or 0) + 1)


def members(connection: Connection, compiled: Compiler, condition: Condition) -> Iterator[int]:
    """Give the ids of the customers that satisfy `condition`, in order."""
    found = existing_members(with_statistics(connection, compiled), condition)
    ordered = found.order_by(found.selected_columns.id)
    for row in connection.execute(ordered, execution_options={"yield_per": 10_000}):
        yield int(row[0])


def not_erased() -> ColumnElement[bool]:
    """Whether a customer was not erased."""
    return sources.not_erased(SCHEMA, SCHEMA.customer.c.id)


def customers(connection: Connection) -> int:
    """Count everyone but the erased."""
    return int(connection.execute(select(func.count()).select_from(SCHEMA.customer).where(not_erased())).scalar_one())


LEAST = 50_000  # ids; for fewer a second connection is not worth opening
Asked = TypeVar("Asked")


def parts(store: Store, ids: range) -> Sequence[range | None]:
    """Cut the ids into as many ranges as are worth a connection; None, for everybody, where one is enough."""
    number = min(store.readers, len(ids) // LEAST)
    return key_ranges(ids, number) if number > 1 else [None]


def key_ranges(ids: range, number: int) -> list[range]:
    """Cut a range into at most so many of about the same length, none of them empty."""
    step = -(-len(ids) // max(number, 1))
    return [ids[start : start + step] for start in range(0, len(ids), step)] if step else []


def count_parallel(store: Store, counted: Callable[[Connection, Asked], int], asked: Sequence[Asked]) -> int:
    """Add up what is counted for each, on as many connections as can be had; each sees the moment at which it begins.

    Where one fails, or the user wants no more, the others are broken off. Raises Unavailable when none can be had.
    """
    with ExitStack() as stack:
        connections = list(_opened(store, stack, len(asked)))
        if len(connections) < 2:
            return sum(counted(connections[0], some) for some in asked) if asked else 0
        free: SimpleQueue[Connection] = SimpleQueue()
        for connection in connections:
            _alone(store, connection)
            free.put(connection)

        def one(some: Asked) -> int:
            connection = free.get()
            try:
                return counted(connection, some)
            finally:
                free.put(connection)

        with ThreadPoolExecutor(len(connections)) as pool:
            answers = [pool.submit(one, some) for some in asked]
            try:
                return sum(part.result() for part in as_completed(answers))
            except BaseException:
                _break_off(store, connections, answers)
                raise


def _opened(store: Store, stack: ExitStack, number: int) -> Iterator[Connection]:
    """Open one connection, and more as far as the server gives them."""
    if number:
        yield stack.enter_context(store.read())
    with suppress(Unavailable):
        for _ in range(number - 1):
            yield stack.enter_context(store.read())


def _alone(store: Store, connection: Connection) -> None:
    if not store.sqlite:
        connection.execute(text("SET LOCAL max_parallel_workers_per_gather = 0"))


def _break_off(store: Store, connections: Sequence[Connection], answers: Sequence[Future[int]]) -> None:
    drivers = [connection.connection.driver_connection for connection in connections]
    for answer in answers:
        answer.cancel()
    # Again and again: one that has not begun yet does not hear it.
    while wait(answers, timeout=0.1).not_done:
        for driver in drivers:
            assert driver is not None
            driver.interrupt() if store.sqlite else driver.cancel()


#: The words of conditions that read what customers say of themselves.
STATING = frozenset({"preference", "trait"})
_OTHER, _ONE = SCHEMA.customer.alias("other"), SCHEMA.customer.alias("one")
_SAID = SCHEMA.preference.c
_SHARED = (
    select(_ONE.c.id.label("customer_id"), *(column for column in _SAID if column.name != "customer_id"))
    .select_from(SCHEMA.preference.join(_OTHER, _OTHER.c.id == _SAID.customer_id))
    .join(_ONE, and_(_ONE.c.address_hash == _OTHER.c.address_hash, _ONE.c.id != _OTHER.c.id))
    .where(_SAID.holds.is_(True))
)


def bound(compiled: Compiler, condition: Condition) -> Select[Any] | CompoundSelect[Any]:
    """Return the query of the ids of the customers whom a guard with this condition binds."""
    own = compiled.select(condition)
    if not STATING & set(condition.words):
        return own
    shared = _SHARED.subquery("shared")
    inbox = union_all(select(*SCHEMA.preference.c), select(*shared.c)).subquery("inbox_preference")
    together = replace(compiled, schema=replace(SCHEMA, preference=inbox))
    mates = select(_SHARED.subquery("mate").c.customer_id)
    (mate,) = mates.selected_columns
    return union(own, mates.where(mate.in_(together.select(condition))))
