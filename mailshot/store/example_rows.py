"""Writes the example customers of rule tests as rows into a scratch database, and removes them again.

Only what an example says is written: a customer who opened a mail has not also received it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import Table

from mailshot.audience.compile import ActivitySource, JoinedColumn
from mailshot.facts import catalogue
from mailshot.profile.customer import Activity, Profile
from mailshot.states import AnswerState, DeliveryState, FeedbackKind, RunState
from mailshot.store import dialect, installation, profiles, purchase_totals, tables
from mailshot.store.answers import ANSWER
from mailshot.store.engine import Connection, Store
from mailshot.store.rule_schema import ACTIVITY_TABLES, DELIVERY, FEEDBACK, LINK, PURCHASE, RUN, SOURCES

CUSTOMER, PRODUCT = dialect.table(tables.Customer), dialect.table(tables.Product)
CONSENT, CONSENT_LOG = dialect.table(tables.Consent), dialect.table(tables.ConsentLog)
PREFERENCE, TRAIT = dialect.table(tables.Preference), dialect.table(tables.Trait)
SOURCE = "example"
#: Consents and preferences are stated so long before the examples' "today".
BEFORE = timedelta(days=1)
Row = dict[str, Any]
Rows = dict[Table, list[Row]]


@contextmanager
def scratch_store() -> Iterator[Store]:
    """Give an empty database in memory."""
    store = Store.memory()
    try:
        installation.upgrade_schema(store)
        yield store
    finally:
        store.close()


@contextmanager
def with_customer(store: Store, profile: Profile, as_of: datetime) -> Iterator[tuple[Connection, int]]:
    """Give a connection that sees the customer, and the customer's id; then remove all rows again."""
    with store.write() as connection:
        step = connection.begin_nested()
        try:
            yield connection, put(connection, profile, as_of)
        finally:
            step.rollback()


def put(connection: Connection, profile: Profile, as_of: datetime) -> int:
    """Insert a customer with the whole profile, and return the id."""
    rows = _Rows(as_of)
    who = rows.customer(profile.facts, profile.lot)
    for word, lines in profile.histories.items():
        for line in lines:
            rows.activity(word, who, line)
    rows.statements(who, profile)
    for table, table_rows in rows.rows.items():
        connection.execute(table.insert(), table_rows)
    purchase_totals.refresh(connection, [who])
    return who


class _Rows:
    """Collects rows by table, and assigns ids."""

    def __init__(self, as_of: datetime) -> None:
        self.as_of = as_of
        self.rows: Rows = {}
        self.number = count(1)
        self.products: dict[str, int] = {}
        self.lines = Counter[tuple[str, int | None, int]]()

    def customer(self, facts: Mapping[str, Any], lot: int) -> int:
        columns = {name: facts.get(name) for name in profiles.COLUMNS}
        own = {name: value for name, value in facts.items() if name not in catalogue.CUSTOMER}
        return self._add(CUSTOMER, {**columns, "lot": lot, "facts": own}, number=True)

    def activity(self, word: str, who: int, line: Activity) -> None:
        _WRITERS[word](self, who, line)

    def statements(self, who: int, profile: Profile) -> None:
        """Add consents, preferences and traits."""
        at = self.as_of - BEFORE
        for topic, given in profile.consents.items():
            entry = {"customer_id": who, "topic": topic, "given": given, "at": at}
            self._add(CONSENT, entry)
            self._add(CONSENT_LOG, {**entry, "source": SOURCE, "proof": {}})
        for (name, value), holds in profile.preferences.items():
            answer = {"customer_id": who, "value": value, "source": SOURCE, "at": at}
            self._add(PREFERENCE, {**answer, "name": name, "holds": holds})
            state = AnswerState.yes if holds else AnswerState.no
            self._add(ANSWER, {**answer, "question": name, "state": state.value})
        for (name, value), inferred in profile.traits.items():
            row = {"customer_id": who, "name": name, "value": value, "confidence": inferred.confidence}
            self._add(TRAIT, {**row, "evidence": dict(inferred.evidence), "as_of": self.as_of})

    def bought(self, who: int, line: Activity) -> None:
        sign = -1 if line.quantity is not None and line.quantity < 0 else 1
        order = (line.occasion, self._product(line), sign)
        self.lines[order] += 1
        row = {"customer_id": who, "order_key": order[0], "product_id": order[1], "nth": sign * self.lines[order]}
        numbers = {"quantity": line.quantity, "amount": line.amount, "channel": line.about.get("channel")}
        self._add(PURCHASE, {**row, "at": line.at, **numbers})

    def plain(self, source: ActivitySource, who: int, line: Activity) -> None:
        """Add one row to the table of a kind of activity, by what `rule_schema` says about its columns."""
        table = next(known for known in ACTIVITY_TABLES if known.table is source.table)
        columns = {name: column for name, column in source.fields.items() if not isinstance(column, JoinedColumn)}
        # An example may leave out a field that every real activity has, whose column is NOT NULL.
        row: Row = {
            column.name: line.about.get(name) if column.nullable else line.about.get(name) or ""
            for name, column in columns.items()
        }
        others = [column for column in table.customers if column != source.customer.name]
        row |= {source.customer.name: who, **{column: self._friend() for column in others}, source.at.name: line.at}
        if "key" in table.key:
            row["key"] = self._key()
        if "facts" in source.table.c:
            row["facts"] = {name: value for name, value in line.about.items() if name not in columns}
        if source.product is not None:
            row[source.product.name] = self._product(line)
        if source.amount is not None:
            row[source.amount.name] = line.amount
        self._add(table.table, row)

    def received(self, who: int, line: Activity) -> None:
        self._mail(who, line, DeliveryState.sent, line.at)

    def answered(self, kind: FeedbackKind, who: int, line: Activity) -> None:
        # Unconfirmed, so that the mail does not count as received, too.
        run = self._mail(who, line, DeliveryState.unconfirmed, None)
        url = line.about.get("link")
        link = None if url is None else self._add(LINK, {"url": url}, number=True)
        row = {"customer_id": who, "run_id": run, "kind": kind.value, "key": self._key(), "at": line.at}
        self._add(FEEDBACK, {**row, "by": line.about.get("by") or "human", "link_id": link})

    def _friend(self) -> int:
        return self.customer({"key": f"another customer, {self._key()}"}, 0)

    def _mail(self, who: int, line: Activity, state: DeliveryState, settled: datetime | None) -> int:
        """Add a run with a mail to the customer, and return the run."""
        names = {name: line.about.get(name) or "" for name in ("campaign", "topic")}
        run = {**names, "definition": "", "state": RunState.past.value, "as_of": line.at, "launched_at": line.at}
        run_id = self._add(RUN, run, number=True)
        row = {"run_id": run_id, "customer_id": who, "state": state.value, "content": line.about.get("content")}
        self._add(DELIVERY, {**row, "settled_at": settled})
        return run_id

    def _product(self, line: Activity) -> int | None:
        if line.product is None:
            return None
        key = str(line.product["key"])
        if key not in self.products:
            columns = {name: line.product.get(name) for name in profiles.PRODUCT_COLUMNS}
            own = {name: value for name, value in line.product.items() if name not in columns}
            self.products[key] = self._add(PRODUCT, {**columns, "known": True, "facts": own}, number=True)
        return self.products[key]

    def _key(self) -> str:
        return str(next(self.number))

    def _add(self, table: Table, row: Row, number: bool = False) -> int:
        rows = self.rows.setdefault(table, [])
        rows.append(row | {"id": len(rows) + 1} if number else row)
        return len(rows)


def _writer(word: str) -> Callable[[_Rows, int, Activity], None]:
    """Return how an activity of one kind is written: row by row, but for purchases and what belongs to a mail."""
    source = SOURCES[word]
    if source.table is PURCHASE:
        return _Rows.bought
    if source.table is DELIVERY:
        return _Rows.received
    if source.table is FEEDBACK:
        return lambda rows, who, line: rows.answered(FeedbackKind.of(word), who, line)
    return lambda rows, who, line: rows.plain(source, who, line)


#: By the word under which a profile keeps its activities: returns are lines of purchases.
_WRITERS = {word: _writer(word) for word in profiles.KEPT}
