"""Loads the whole profile of one customer, and the facts of many customers and products for mails."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import islice
from typing import Any

from sqlalchemy import RowMapping, Select, bindparam, func, select

from mailshot.audience.compile import in_list, tracked_customers
from mailshot.errors import NotFound, Refused, similar
from mailshot.profile.activity import KINDS
from mailshot.profile.customer import Activity, Profile, TraitValue
from mailshot.store import answers, consent
from mailshot.store.audiences import SCHEMA
from mailshot.store.engine import Connection

COLUMNS = ("key", "email", "first_name", "last_name", "language", "country", "time_zone", "joined_at")
#: The words of activities that are stored by themselves: returns are in the lines of purchases.
KEPT = tuple(word for word, history in KINDS.items() if history.kept_as == word)
ALL = (*KEPT, "preference", "trait", "consent")
#: Parameters of one statement, which databases limit.
MAX_AT_ONCE = 10_000
#: Customers who are named in an error.
MAX_NAMED = 10
#: Characters in which a likely key or address begins like a misspelt one, and how many of such are compared.
SAME_START, MAX_COMPARED = 2, 2_000
EXAMPLES = 3


def _stated_by(before: datetime | None) -> Select[Any]:
    """Return the select of what the parameter `customer` had stated `before` a moment; None: what counts now."""
    stated = answers.stated(before).c
    return select(stated.name, stated.value, stated.holds).where(stated.customer_id == bindparam("customer"))


# Built once: building a statement takes longer than running it.
_CUSTOMER = select(SCHEMA.customer).where(SCHEMA.customer.c.id == bindparam("customer"))
_STATED = _stated_by(None)
_TRAITS = select(SCHEMA.trait).where(SCHEMA.trait.c.customer_id == bindparam("customer"))
PRODUCT_COLUMNS = ("key", "name", "department", "category", "type", "brand", "size", "price", "url")


def find_customer(connection: Connection, key_or_address: str) -> int:
    """Return the id of the customer with this key, or else with this address.

    Raises NotFound, and Refused when several customers share the address.
    """
    customer = SCHEMA.customer.c
    by_key = connection.scalar(select(customer.id).where(customer.key == key_or_address))
    if by_key is not None:
        return int(by_key)
    theirs = func.lower(customer.email) == key_or_address.lower()
    customers = connection.execute(select(customer.id, customer.key).where(theirs).order_by(customer.key)).all()
    if not customers:
        message = f"There is no customer with the key or address '{key_or_address}'."
        raise NotFound(message, _suggestion(connection, key_or_address))
    if len(customers) > 1:
        keys = ", ".join(row.key for row in customers[:MAX_NAMED]) + ", …" * (len(customers) > MAX_NAMED)
        raise Refused(
            f"{len(customers)} customers share the address '{key_or_address}'.", f"Name one by its key: {keys}."
        )
    return int(customers[0].id)


def _suggestion(connection: Connection, key_or_address: str) -> str:
    """Return the remedy for an unknown customer: the most similar key or address, or where keys are from.

    Only customers that begin with the same characters are compared.
    """
    customer = SCHEMA.customer.c
    column = customer.email if "@" in key_or_address else customer.key
    start = key_or_address[:SAME_START].lower()
    likely = select(column).where(func.lower(column).startswith(start, autoescape=True)).order_by(column)
    compared = {value.lower(): value for value in connection.scalars(likely.limit(MAX_COMPARED))}
    if close := similar(key_or_address, compared):
        return f"Did you mean '{compared[close]}'?"
    examples = connection.scalars(select(customer.key).order_by(customer.id).limit(EXAMPLES)).all()
    if not examples:
        return "No customers are imported yet: mailshot import MAPPING."
    return f"Use an address, or a key as in the files that you import, such as {', '.join(examples)}."


def profile(
    connection: Connection,
    customer_id: int,
    before: datetime | None = None,
    keywords: Collection[str] = ALL,
) -> Profile:
    """Return the profile of one customer, with the parts that `keywords` of rules use. Raises NotFound.

    Consents and preferences count when they were stated `before` a moment; None: all of them.
    """
    mine = {"customer": customer_id}
    row = connection.execute(_CUSTOMER, mine).mappings().first()
    if row is None:
        raise NotFound(f"There is no customer {customer_id}.")
    stated = _stated_by(before) if before else _STATED
    preferences = connection.execute(stated, mine).mappings().all() if "preference" in keywords else ()
    traits = connection.execute(_TRAITS, mine).mappings().all() if "trait" in keywords else ()
    consents = consent.latest_entries(connection, customer_id, before) if "consent" in keywords else {}
    return Profile(
        id=customer_id,
        lot=row["lot"],
        facts=facts(row, COLUMNS),
        histories=_histories(connection, customer_id, [word for word in keywords if word in KEPT]),
        consents={topic: entry.given for topic, entry in consents.items()},
        preferences={(item["name"], item["value"]): item["holds"] for item in preferences},
        traits={(item["name"], item["value"]): TraitValue(item["confidence"], item["evidence"]) for item in traits},
        tracked="consent" in keywords
        and connection.scalar(tracked_customers(SCHEMA, before, [customer_id])) is not None,
    )


def facts(row: RowMapping, columns: Iterable[str]) -> dict[str, Any]:
    """Return built-in and own facts of a customer or product row as one mapping."""
    return {**{name: row[name] for name in columns}, **(row["facts"] or {})}


def facts_of(connection: Connection, customer_ids: list[int]) -> dict[int, dict[str, Any]]:
    """Return the facts of many customers by id."""
    chosen = select(SCHEMA.customer).where(SCHEMA.customer.c.id.in_(customer_ids))
    return {row["id"]: facts(row, COLUMNS) for row in connection.execute(chosen).mappings()}


def products(connection: Connection, product_ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Return the facts of products by id."""
    chosen = select(SCHEMA.product).where(in_list(SCHEMA.product.c.id, product_ids))
    return {row["id"]: facts(row, PRODUCT_COLUMNS) for row in connection.execute(chosen).mappings()}


def with_products(connection: Connection, offers: Iterable[Sequence[int]]) -> list[tuple[dict[str, Any], int]]:
    """Return offers (product id, times bought) with the facts of their products, without products that are gone."""
    pairs = [(product, times) for product, times in offers]
    facts = products(connection, [product for product, _ in pairs])
    return [(facts[product], times) for product, times in pairs if product in facts]


def names(connection: Connection, product_ids: Collection[int]) -> dict[int, str]:
    """Return the names of products by id, of those that have one."""
    by_id: dict[int, str] = {}
    ids = iter(product_ids)
    while some := list(islice(ids, MAX_AT_ONCE)):
        product = SCHEMA.product.c
        rows = connection.execute(
            select(product.id, product.name).where(product.id.in_(some), product.name.is_not(None))
        )
        by_id |= {int(row[0]): str(row[1]) for row in rows}
    return by_id


def _histories(connection: Connection, customer_id: int, keywords: Collection[str]) -> dict[str, tuple[Activity, ...]]:
    """Return the activities of a customer by word; products are fetched once for all of them."""
    rows = {word: connection.execute(_of_kind(word), {"customer": customer_id}).mappings().all() for word in keywords}
    ids = {row["product_id"] for activities in rows.values() for row in activities if row.get("product_id") is not None}
    known = products(connection, ids) if ids else {}
    return {
        word: tuple(_activity(row, turn, SCHEMA.sources[word].fields, known) for turn, row in enumerate(activities))
        for word, activities in rows.items()
    }


@cache
def _of_kind(word: str) -> Select[Any]:
    """Return the select of all activities of one kind of the parameter `customer`."""
    source = SCHEMA.sources[word]
    chosen: dict[str, Any] = {f"field_{name}": source.column(name) for name in source.fields}
    chosen |= {"at": source.at, "occasion": source.occasion, "amount": source.amount, "quantity": source.quantity}
    chosen |= {"product_id": source.product, "facts": source.table.c.get("facts")}
    labelled = [column.label(name) for name, column in chosen.items() if column is not None]
    mine = select(*labelled).select_from(source.rows(source.fields)).where(source.customer == bindparam("customer"))
    return mine.where(source.at.is_not(None), *source.only, *source.imported).order_by(source.at)


def _activity(row: RowMapping, turn: int, fields: Iterable[str], known: Mapping[int, dict[str, Any]]) -> Activity:
    about = (row.get("facts") or {}) | {name: row[f"field_{name}"] for name in fields}
    occasion = row.get("occasion")
    return Activity(
        str(turn) if occasion is None else str(occasion),
        row["at"],
        about,
        known.get(row.get("product_id") or 0),
        row.get("amount"),
        row.get("quantity"),
    )
