"""Owns gathering one customer's profile, and the few facts of many that a mail needs; refuses to judge."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice
from typing import Any

from sqlalchemy import RowMapping, func, or_, select

from mailshot.errors import NotFound
from mailshot.profile.customer import Inferred, Line, Profile
from mailshot.store import sql, tables
from mailshot.store.audiences import SCHEMA
from mailshot.store.engine import Connection

COLUMNS = ("key", "email", "first_name", "last_name", "language", "country", "time_zone", "joined_at")
# Databases limit the parameters of one statement.
MOST_AT_ONCE = 10_000
PRODUCT_COLUMNS = ("key", "name", "department", "category", "type", "brand", "size", "price", "url")


def find(connection: Connection, words: str) -> int:
    """Return the id of the customer with this key or address. Raises NotFound."""
    customer = SCHEMA.customer.c
    asked = or_(customer.key == words, func.lower(customer.email) == words.lower())
    found = connection.execute(select(customer.id).where(asked).limit(1)).scalar()
    if found is None:
        raise NotFound(f"There is no customer with the key or address '{words}'.", "Keys are those of the import.")
    return int(found)


def profile(connection: Connection, customer_id: int) -> Profile:
    """Return all that is known of one customer. Raises NotFound."""
    row = connection.execute(select(SCHEMA.customer).where(SCHEMA.customer.c.id == customer_id)).mappings().first()
    if row is None:
        raise NotFound(f"There is no customer {customer_id}.")
    consents = _rows(connection, tables.Consent, customer_id)
    preferences = _rows(connection, tables.Preference, customer_id)
    traits = _rows(connection, tables.Trait, customer_id)
    return Profile(
        id=customer_id,
        lot=row["lot"],
        facts=facts(row, COLUMNS),
        purchases=tuple(_lines(connection, customer_id)),
        consents={item["topic"]: item["given"] for item in consents},
        preferences={(item["name"], item["value"]): item["holds"] for item in preferences},
        traits={(item["name"], item["value"]): Inferred(item["confidence"], item["evidence"]) for item in traits},
    )


def facts(row: RowMapping, columns: Iterable[str]) -> dict[str, Any]:
    """Return built-in and own facts of a customer or product row as one mapping."""
    return {**{name: row[name] for name in columns}, **(row["facts"] or {})}


def many(connection: Connection, customer_ids: list[int]) -> dict[int, dict[str, Any]]:
    """Return the facts of many customers by id."""
    chosen = select(SCHEMA.customer).where(SCHEMA.customer.c.id.in_(customer_ids))
    return {row["id"]: facts(row, COLUMNS) for row in connection.execute(chosen).mappings()}


def products(connection: Connection, product_ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Return the facts of products by id."""
    chosen = select(SCHEMA.product).where(SCHEMA.product.c.id.in_(list(product_ids)))
    return {row["id"]: facts(row, PRODUCT_COLUMNS) for row in connection.execute(chosen).mappings()}


def names(connection: Connection, product_ids: Collection[int]) -> dict[int, str]:
    """Return the names of products by id, of those that have one."""
    found: dict[int, str] = {}
    ids = iter(product_ids)
    while some := list(islice(ids, MOST_AT_ONCE)):
        product = SCHEMA.product.c
        rows = connection.execute(
            select(product.id, product.name).where(product.id.in_(some), product.name.is_not(None))
        )
        found |= {int(row[0]): str(row[1]) for row in rows}
    return found


def _rows(connection: Connection, model: Any, customer_id: int) -> list[Any]:
    rows = sql.table(model)
    return list(connection.execute(select(rows).where(rows.c.customer_id == customer_id)).mappings())


def _lines(connection: Connection, customer_id: int) -> Iterable[Line]:
    purchase, product = SCHEMA.purchase, SCHEMA.product
    joined = purchase.join(product, product.c.id == purchase.c.product_id)
    bought = select(purchase, product.c.facts, *(product.c[name].label(f"product_{name}") for name in PRODUCT_COLUMNS))
    ordered = bought.select_from(joined).where(purchase.c.customer_id == customer_id).order_by(purchase.c.at)
    for row in connection.execute(ordered).mappings():
        about = {name: row[f"product_{name}"] for name in PRODUCT_COLUMNS} | (row["facts"] or {})
        yield Line(row["order_key"], row["at"], row["quantity"], row["amount"], about, row["channel"])
