"""Loads products and purchase lines, returns among them; many lines into SQLite by way of `store.staging`.

A purchase of an unknown product is kept: the product is added as a stub with only its key.
"""

from __future__ import annotations

from mailshot.ingest.duckdb_sql import literal, name
from mailshot.ingest.loaders.customers import fact_as_json
from mailshot.ingest.loaders.loader import Loading, json
from mailshot.store import conversions, purchase_totals
from mailshot.store.bulk import Counts

KEYS = {"id": "BIGINT", "key": "VARCHAR"}


def load_products(loading: Loading) -> Counts:
    """Add new products, and change what a mapped column says differently about known ones."""
    fields = loading.reading.fields
    loading.keep_last("good", loading.valid_rows(), ["key"])
    columns = {key: name(key) for key, field in fields.items() if not field.own}
    own = {key: fact_as_json(field) for key, field in fields.items() if field.own}
    counts = loading.upsert("product", {**columns, "known": "TRUE", "facts": json(own)}, "good", facts=list(own))
    if counts.added or counts.changed:
        conversions.mark_sent(loading.connection)
    return counts


def load_purchases(loading: Loading) -> Counts:
    """Add purchase lines. Equal products in one order are numbered in the order of the file.

    The key of a return includes its time: a return with its purchase's order number must not replace the purchase,
    nor another return of the same order.
    """
    loading.look_up("customer", KEYS)
    loading.reject_unknown("customer", "customer", "key", "is not a known customer key")
    add_stubs(loading)
    source = (
        'SELECT k.id AS customer_id, r."order" AS order_key, p.id AS product_id, r.* '
        f"FROM ({loading.valid_rows()}) AS r JOIN known_customer AS k ON k.key = r.customer "
        "JOIN known_product AS p ON p.key = r.product"
    )
    loading.valid_count = loading.db.one(f"SELECT count(*) FROM ({loading.valid_rows()})")
    line = 'customer, "order", product, CASE WHEN quantity < 0 THEN "at" END'
    returned = loading.db.one(f"SELECT count(*) FROM ({loading.valid_rows()}) WHERE quantity < 0")
    turn = f'row_number() OVER (PARTITION BY {line} ORDER BY "#line")'
    columns = {column: name(column) for column in ("customer_id", "order_key", "product_id")}
    # Most shops write one line per product and order; then no numbering is needed.
    again = loading.db.one(
        f"SELECT count(*) FROM (FROM ({loading.valid_rows()}) SELECT 1 GROUP BY {line} HAVING count(*) > 1)"
    )
    turn = turn if again else "1"
    back = f'-(abs("at") * {purchase_totals.EQUAL_RETURNS} + {turn})'
    columns["nth"] = f"CASE WHEN quantity < 0 THEN {back} ELSE {turn} END" if returned else turn
    _warn_of_odd_amounts(loading)
    columns |= {key: name(key) for key in ("at", "quantity", "amount", "channel") if key in loading.reading.fields}
    if loading.staging is not None:
        loading.release_snapshot()
        loading.staging.begin()
    counts = loading.upsert("purchase", columns, f"({source})", instants=["at"])
    _sum_up(loading)
    return counts


def _warn_of_odd_amounts(loading: Loading) -> None:
    """Warn about lines whose quantity and amount contradict each other, and say how they count."""
    odd = {
        "quantity < 0 AND amount > 0": "is above zero for a return: taken as the money that was paid back",
        "quantity = 0 AND amount < 0": "is below zero without a quantity: counts neither as bought nor as returned",
    }
    for which, reason in odd.items():
        loading.warn("amount", literal(reason), f"({loading.valid_rows()}) WHERE {which}")


def _sum_up(loading: Loading) -> None:
    """Recompute the totals of the customers in the file, and the number of lines of its products."""
    if loading.staging is not None:
        loading.staging.recompute_totals(_ids_in_file(loading, "customer"))
        loading.staging.swap_in()
        return
    purchase_totals.refresh(loading.connection, _ids_in_file(loading, "customer"))
    purchase_totals.count_product_lines(loading.connection, _ids_in_file(loading, "product"))


def _ids_in_file(loading: Loading, table: str) -> list[int] | None:
    """Return the ids in the file; None means all, if these are most."""
    named = f"(SELECT DISTINCT {table} AS key FROM ({loading.valid_rows()})) JOIN known_{table} USING (key)"
    some = loading.db.one(f"SELECT count(*) FROM {named}")
    if some > loading.db.one(f"SELECT count(*) FROM known_{table}") / 2:
        return None
    return [int(row[0]) for row in loading.db.run(f"SELECT id FROM {named}")]


def add_stubs(loading: Loading) -> None:
    """Add products that rows name but no file describes, and look up all products."""
    loading.look_up("product", KEYS)
    unknown = (
        f"({loading.valid_rows()}) AS r ANTI JOIN known_product AS k ON k.key = r.product WHERE r.product IS NOT NULL"
    )
    lines = loading.db.one(f"SELECT count(*) FROM {unknown}")
    if not lines:
        return
    loading.warn("product", "'is not described: added as a stub'", unknown)
    stubs = f"(SELECT DISTINCT product FROM {unknown})"
    columns = {"key": "product", "known": "FALSE", "facts": "'{}'"}
    with loading.writing():
        loading.upsert("product", columns, stubs, add_only=True)
    loading.look_up("product", KEYS)
