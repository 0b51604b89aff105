"""Owns the import of products, purchase lines and events; refuses to invent a customer.

A purchase of a product that nobody described is kept: the product is added as a stub, known by its key alone.
"""

from __future__ import annotations

from mailshot.ingest.fields import FACT_PREFIX
from mailshot.ingest.loading import Loading, json
from mailshot.ingest.people import fact
from mailshot.ingest.values import literal, name
from mailshot.store.bulk import Counts

_KEYS = {"id": "BIGINT", "key": "VARCHAR"}


def products(loading: Loading) -> Counts:
    """Add new products, and change what a mapped column says differently about known ones."""
    fields = loading.reading.fields
    loading.keep_last("good", loading.sound(), ["key"])
    columns = {key: name(key) for key, field in fields.items() if not field.own}
    own = {key: fact(field) for key, field in fields.items() if field.own}
    return loading.upsert("product", {**columns, "known": "TRUE", "facts": json(own)}, "good", facts=list(own))


def purchases(loading: Loading) -> Counts:
    """Add purchase lines; the same product twice in one order is told apart by its turn in the file."""
    loading.look_up("customer", _KEYS)
    loading.refuse_unknown("customer", "customer", "key", "is no customer's key")
    _add_stubs(loading)
    source = (
        'SELECT k.id AS customer_id, r."order" AS order_key, p.id AS product_id, r.* '
        f"FROM ({loading.sound()}) AS r JOIN known_customer AS k ON k.key = r.customer "
        "JOIN known_product AS p ON p.key = r.product"
    )
    loading.good = loading.stage.one(f"SELECT count(*) FROM ({loading.sound()})")
    line = 'customer, "order", product'
    turn = f'row_number() OVER (PARTITION BY {line} ORDER BY "#line")'
    columns = {column: name(column) for column in ("customer_id", "order_key", "product_id")}
    # Most shops write one line a product and order; then there is no need to number them.
    again = loading.stage.one(
        f"SELECT count(*) FROM (FROM ({loading.sound()}) SELECT 1 GROUP BY {line} HAVING count(*) > 1)"
    )
    columns["nth"] = turn if again else "1"
    columns |= {key: name(key) for key in ("at", "quantity", "amount", "channel") if key in loading.reading.fields}
    return loading.upsert("purchase", columns, f"({source})", instants=["at"])


def events(loading: Loading) -> Counts:
    """Add events; one without a key of its own is known by its name, its time, and its turn among those."""
    loading.look_up("customer", _KEYS)
    loading.refuse_unknown("customer", "customer", "key", "is no customer's key")
    turn = 'row_number() OVER (PARTITION BY customer, name, "at" ORDER BY "#line")'
    made = f"""name || '@' || "at" || '#' || {turn}"""
    joined = (
        f"SELECT k.id AS customer_id, {own_key(loading, made)} AS event_key, r.* FROM ({loading.sound()}) AS r "
        "JOIN known_customer AS k ON k.key = r.customer"
    )
    loading.keep_last("good", joined, ["customer_id", "event_key"])
    columns = {"customer_id": "customer_id", "key": "event_key", "name": "name", "at": '"at"'}
    columns |= {"amount": "amount"} if "amount" in loading.reading.fields else {}
    own = details(loading)
    return loading.upsert("event", {**columns, "facts": json(own)}, "good", instants=["at"], facts=list(own))


def own_key(loading: Loading, made: str) -> str:
    """Return the expression of a row's key, made where it brings none."""
    return f"coalesce(r.key, {made})" if "key" in loading.reading.fields else made


def details(loading: Loading) -> dict[str, str]:
    """Return what `facts.<name>` columns say, by name."""
    named = (key for key in loading.reading.fields if key.startswith(FACT_PREFIX))
    return {key.removeprefix(FACT_PREFIX): name(key) for key in named}


def _add_stubs(loading: Loading) -> None:
    loading.look_up("product", _KEYS)
    unknown = f"({loading.sound()}) AS r ANTI JOIN known_product AS k ON k.key = r.product"
    lines = loading.stage.one(f"SELECT count(*) FROM {unknown}")
    if not lines:
        return
    label = literal(loading.reading.label("product"))
    loading.stage.run(
        f"""INSERT INTO {loading.reading.warnings}
        SELECT "#line", {label}, product, 'was not described: added as a stub' FROM {unknown}"""
    )
    stubs = f"(SELECT DISTINCT product FROM {unknown})"
    columns = {"key": "product", "known": "FALSE", "facts": "'{}'"}
    loading.upsert("product", columns, stubs, add_only=True)
    loading.look_up("product", _KEYS)
