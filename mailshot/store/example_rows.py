"""Owns putting a made-up customer into a database as rows, and taking them out again; refuses to make one up.

What a profile does not say is left unknown, and nothing follows from anything: a mail that was opened was not received.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from mailshot.facts.catalogue import CUSTOMER
from mailshot.profile import activity
from mailshot.profile.customer import Activity, Profile
from mailshot.states import DeliveryState, FeedbackKind, RunState
from mailshot.store import dialect, installation, profiles, purchase_totals, tables
from mailshot.store.engine import Connection, Store

SOURCE = "example"
BEFORE = timedelta(days=1)
Row = dict[str, Any]
Rows = dict[type[Any], list[Row]]


@contextmanager
def scratch_store() -> Iterator[Store]:
    """Give an empty database that nobody else sees."""
    store = Store.memory()
    try:
        installation.upgrade(store)
        yield store
    finally:
        store.close()


@contextmanager
def with_customer(store: Store, profile: Profile, as_of: datetime) -> Iterator[tuple[Connection, int]]:
    """Give a connection that sees the customer, and the id; afterwards everything is as it was."""
    with store.write() as connection:
        step = connection.begin_nested()
        try:
            yield connection, put(connection, profile, as_of)
        finally:
            step.rollback()


def put(connection: Connection, profile: Profile, as_of: datetime) -> int:
    """Insert a customer with all that is known of them, and return the id."""
    made = _Rows(as_of)
    who = made.customer(profile.facts, profile.lot)
    for word, happenings in profile.histories.items():
        for happening in happenings:
            made.happening(word, who, happening)
    made.said(who, profile)
    for model, rows in made.rows.items():
        connection.execute(dialect.table(model).insert(), rows)
    purchase_totals.refresh(connection, [who])
    return who


class _Rows:
    """Gathers rows by table, and numbers them."""

    def __init__(self, as_of: datetime) -> None:
        self.as_of = as_of
        self.rows: Rows = {}
        self.number = count(1)
        self.products: dict[str, int] = {}
        self.lines = Counter[tuple[str, int | None, int]]()

    def customer(self, facts: Mapping[str, Any], lot: int) -> int:
        columns = {name: facts.get(name) for name in profiles.COLUMNS}
        own = {name: value for name, value in facts.items() if name not in CUSTOMER}
        return self._add(tables.Customer, {**columns, "lot": lot, "facts": own}, number=True)

    def happening(self, word: str, who: int, happening: Activity) -> None:
        _WRITERS[word](self, who, happening)

    def said(self, who: int, profile: Profile) -> None:
        """Add what the customer said, and what was inferred."""
        at = self.as_of - BEFORE
        for topic, given in profile.consents.items():
            entry = {"customer_id": who, "topic": topic, "given": given, "at": at}
            self._add(tables.Consent, entry)
            self._add(tables.ConsentLog, {**entry, "source": SOURCE, "proof": {}})
        for (name, value), holds in profile.preferences.items():
            row = {"customer_id": who, "name": name, "value": value, "holds": holds, "source": SOURCE, "at": at}
            self._add(tables.Preference, row)
        for (name, value), inferred in profile.traits.items():
            row = {"customer_id": who, "name": name, "value": value, "confidence": inferred.confidence}
            self._add(tables.Trait, {**row, "evidence": dict(inferred.evidence), "as_of": self.as_of})

    def bought(self, who: int, line: Activity) -> None:
        sign = -1 if line.quantity is not None and line.quantity < 0 else 1
        order = (line.occasion, self._product(line), sign)
        self.lines[order] += 1
        row = {"customer_id": who, "order_key": order[0], "product_id": order[1], "nth": sign * self.lines[order]}
        numbers = {"quantity": line.quantity, "amount": line.amount, "channel": line.about.get("channel")}
        self._add(tables.Purchase, {**row, "at": line.at, **numbers})

    def did(self, who: int, line: Activity) -> None:
        facts = {name: value for name, value in line.about.items() if name != "event"}
        row = {"customer_id": who, "key": self._key(), "name": line.about["event"], "at": line.at, "facts": facts}
        self._add(tables.Event, {**row, "product_id": self._product(line), "amount": line.amount})

    def received(self, who: int, line: Activity) -> None:
        self._mail(who, line, DeliveryState.sent, line.at)

    def answered(self, kind: FeedbackKind, who: int, line: Activity) -> None:
        # A mail in doubt: that it was opened must not make it one that was received, too.
        run = self._mail(who, line, DeliveryState.unconfirmed, None)
        url = line.about.get("link")
        link = None if url is None else self._add(tables.Link, {"url": url}, number=True)
        row = {"customer_id": who, "run_id": run, "kind": kind.value, "key": self._key(), "at": line.at}
        self._add(tables.Feedback, {**row, "by": line.about.get("by") or "human", "link_id": link})

    def contacted(self, who: int, line: Activity) -> None:
        about = {name: line.about.get(name) for name in activity.CONTACTED.fields}
        own = {name: value for name, value in line.about.items() if name not in about}
        row = {"customer_id": who, "key": self._key(), "at": line.at, "facts": own}
        self._add(tables.Interaction, {**row, **about, "kind": about["kind"] or ""})

    def referred(self, who: int, line: Activity) -> None:
        self._referral(who, self._friend(), line)

    def was_referred(self, who: int, line: Activity) -> None:
        self._referral(self._friend(), who, line)

    def _referral(self, who: int, friend: int, line: Activity) -> None:
        row = {"customer_id": who, "referred_id": friend, "at": line.at, "source": line.about.get("source")}
        self._add(tables.Referral, row)

    def _friend(self) -> int:
        return self.customer({"key": f"another customer, {self._key()}"}, 0)

    def _mail(self, who: int, line: Activity, state: DeliveryState, settled: datetime | None) -> int:
        """Add a run with a mail to the customer, and return the run."""
        said = {name: line.about.get(name) or "" for name in ("campaign", "topic")}
        run = {**said, "definition": "", "state": RunState.past.value, "as_of": line.at, "launched_at": line.at}
        found = self._add(tables.Run, run, number=True)
        row = {"run_id": found, "customer_id": who, "state": state.value, "content": line.about.get("content")}
        self._add(tables.Delivery, {**row, "settled_at": settled})
        return found

    def _product(self, line: Activity) -> int | None:
        if line.product is None:
            return None
        key = str(line.product["key"])
        if key not in self.products:
            columns = {name: line.product.get(name) for name in profiles.PRODUCT_COLUMNS}
            own = {name: value for name, value in line.product.items() if name not in columns}
            self.products[key] = self._add(tables.Product, {**columns, "known": True, "facts": own}, number=True)
        return self.products[key]

    def _key(self) -> str:
        return str(next(self.number))

    def _add(self, model: type[Any], row: Row, number: bool = False) -> int:
        rows = self.rows.setdefault(model, [])
        rows.append(row | {"id": len(rows) + 1} if number else row)
        return len(rows)


_WRITERS: dict[str, Callable[[_Rows, int, Activity], None]] = {
    "bought": _Rows.bought,
    "did": _Rows.did,
    "received": _Rows.received,
    **{
        kind.value: lambda rows, who, line, kind=kind: rows.answered(kind, who, line)  # type: ignore[misc]
        for kind in (FeedbackKind.opened, FeedbackKind.clicked, FeedbackKind.converted)
    },
    "contacted": _Rows.contacted,
    "referred": _Rows.referred,
    "was_referred": _Rows.was_referred,
}
