"""Loads products and purchase lines, returns among them; many lines into SQLite by way of `store.staging`.

A purchase of a product that nobody described is kept: the product is added as a stub, known by its key alone.
"""

from __future__ import annotations

from mailshot.ingest.duckdb_sql import literal, name
from mailshot.ingest.loaders.customers import fact
from mailshot.ingest.loaders.loader import Loading, json
from mailshot.store import conversions, purchase_totals
from mailshot.store.bulk import Counts

KEYS = {"id": "BIGINT", "key": "VARCHAR"}


def products(loading: Loading) -> Counts:
    """Add new products, and change what a mapped column says differently about known ones."""
    fields = loading.reading.fields
    loading.keep_last("good", loading.sound(), ["key"])
    columns = {key: name(key) for key, field in fields.items() if not field.own}
    own = {key: fact(field) for key, field in fields.items() if field.own}
    counts = loading.upsert("product", {**columns, "known": "TRUE", "facts": json(own)}, "good", facts=list(own))
    if counts.added or counts.changed:
        conversions.mark_sent(loading.connection)
    return counts


def purchases(loading: Loading) -> Counts:
    """Add purchase lines; the same product twice in one order is told apart by its turn in the file.

    A return is told apart by its moment as well: one that names the order of its purchase must not replace it, nor one
    of tomorrow's file another of the same order.
    """
    loading.look_up("customer", KEYS)
    loading.refuse_unknown("customer", "customer", "key", "is no customer's key")
    add_stubs(loading)
    source = (
        'SELECT k.id AS customer_id, r."order" AS order_key, p.id AS product_id, r.* '
        f"FROM ({loading.sound()}) AS r JOIN known_customer AS k ON k.key = r.customer "
        "JOIN known_product AS p ON p.key = r.product"
    )
    loading.good = loading.stage.one(f"SELECT count(*) FROM ({loading.sound()})")
    line = 'customer, "order", product, CASE WHEN quantity < 0 THEN "at" END'
    returned = loading.stage.one(f"SELECT count(*) FROM ({loading.sound()}) WHERE quantity < 0")
    turn = f'row_number() OVER (PARTITION BY {line} ORDER BY "#line")'
    columns = {column: name(column) for column in ("customer_id", "order_key", "product_id")}
    # Most shops write one line a product and order; then there is no need to number them.
    again = loading.stage.one(
        f"SELECT count(*) FROM (FROM ({loading.sound()}) SELECT 1 GROUP BY {line} HAVING count(*) > 1)"
    )
    turn = turn if again else "1"
    back = f'-(abs("at") * {purchase_totals.EQUAL_RETURNS} + {turn})'
    columns["nth"] = f"CASE WHEN quantity < 0 THEN {back} ELSE {turn} END" if returned else turn
    _warn_of_odd_amounts(loading)
    columns |= {key: name(key) for key in ("at", "quantity", "amount", "channel") if key in loading.reading.fields}
    if loading.staging is not None:
        loading.rest()
        loading.staging.begin()
    counts = loading.upsert("purchase", columns, f"({source})", instants=["at"])
    _sum_up(loading)
    return counts


def _warn_of_odd_amounts(loading: Loading) -> None:
    """Tell the lines whose quantity and amount do not go together, and how they are read."""
    odd = {
        "quantity < 0 AND amount > 0": "is above zero for a return: taken as the money that was paid back",
        "quantity = 0 AND amount < 0": "is below zero without a quantity: counts neither as bought nor as returned",
    }
    for which, reason in odd.items():
        loading.warn("amount", literal(reason), f"({loading.sound()}) WHERE {which}")


def _sum_up(loading: Loading) -> None:
    """Sum up the purchases of whoever stands in the file, and count the lines of its products."""
    if loading.staging is not None:
        loading.staging.sum_up(_named(loading, "customer"))
        loading.staging.put_in_place()
        return
    purchase_totals.refresh(loading.connection, _named(loading, "customer"))
    purchase_totals.count_product_lines(loading.connection, _named(loading, "product"))


def _named(loading: Loading, table: str) -> list[int] | None:
    """Return the ids that stand in the file; None, for all there are, when those are most."""
    named = f"(SELECT DISTINCT {table} AS key FROM ({loading.sound()})) JOIN known_{table} USING (key)"
    some = loading.stage.one(f"SELECT count(*) FROM {named}")
    if some > loading.stage.one(f"SELECT count(*) FROM known_{table}") / 2:
        return None
    return [int(row[0]) for row in loading.stage.run(f"SELECT id FROM {named}")]


def add_stubs(loading: Loading) -> None:
    """Add the products that rows name and nobody described, and look all products up."""
    loading.look_up("product", KEYS)
    unknown = f"({loading.sound()}) AS r ANTI JOIN known_product AS k ON k.key = r.product WHERE r.product IS NOT NULL"
    lines = loading.stage.one(f"SELECT count(*) FROM {unknown}")
    if not lines:
        return
    loading.warn("product", "'was not described: added as a stub'", unknown)
    stubs = f"(SELECT DISTINCT product FROM {unknown})"
    columns = {"key": "product", "known": "FALSE", "facts": "'{}'"}
    with loading.writing():
        loading.upsert("product", columns, stubs, add_only=True)
    loading.look_up("product", KEYS)
