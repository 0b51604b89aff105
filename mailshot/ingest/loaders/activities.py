"""Loads activities: events, interactions, referrals, and every other kind whose table has a column for each field."""

from __future__ import annotations

from mailshot.ingest.duckdb_sql import name
from mailshot.ingest.fields import FACT_PREFIX
from mailshot.ingest.loaders.customers import fact_as_json
from mailshot.ingest.loaders.loader import Loading, json
from mailshot.ingest.loaders.purchases import KEYS, add_stubs
from mailshot.store import conversions
from mailshot.store.bulk import Counts


def load_events(loading: Loading) -> Counts:
    """Add events; one without a key of its own is identified by its name, its time, and its number among those."""
    columns = {"name": "name"}
    columns |= {"amount": "amount"} if "amount" in loading.reading.fields else {}
    if "product" in loading.reading.fields:
        add_stubs(loading)
        columns["product_id"] = "(SELECT id FROM known_product WHERE known_product.key = product)"
    counts = _add(loading, "event", "name", columns, {"product_id": "product"})
    if counts.added or counts.changed:
        whose = loading.db.run("SELECT DISTINCT customer_id FROM good")
        conversions.mark(loading.connection, [int(row[0]) for row in whose])
    return counts


def load_interactions(loading: Loading) -> Counts:
    """Add interactions; one without a key is identified by its kind, its time, and its number among those."""
    return _add(loading, "interaction", "kind", _own_columns(loading))


def load_plain(loading: Loading) -> Counts:
    """Add rows to the table that the kind is named for; a row without a key is identified by its time and number."""
    return _add(loading, loading.reading.item.kind.removesuffix("s"), "", _own_columns(loading))


def load_referrals(loading: Loading) -> Counts:
    """Add referrals; a customer cannot refer themselves."""
    _customers(loading)
    loading.reject_unknown("referred", "customer", "key", "is not a known customer key")
    loading.reject("referred", "'is the same customer'", f"{loading.reading.rows} WHERE referred = customer")
    joined = (
        f"SELECT k.id AS customer_id, f.id AS referred_id, r.* FROM ({loading.valid_rows()}) AS r "
        "JOIN known_customer AS k ON k.key = r.customer JOIN known_customer AS f ON f.key = r.referred"
    )
    loading.keep_last("good", joined, ["customer_id", "referred_id"])
    columns = {"customer_id": "customer_id", "referred_id": "referred_id", "at": '"at"'}
    columns |= {"source": "source"} if "source" in loading.reading.fields else {}
    return loading.upsert("referral", columns, "good", instants=["at"])


def own_key(loading: Loading, made: str) -> str:
    """Return the expression of a row's key: its own, or else a made-up one."""
    return f"coalesce(r.key, {made})" if "key" in loading.reading.fields else made


def turn(loading: Loading, same: str) -> str:
    """Return the expression of a row's number among rows without a key that agree on `same`."""
    keyless = ", r.key IS NULL" if "key" in loading.reading.fields else ""
    return f'row_number() OVER (PARTITION BY {same}{keyless} ORDER BY "#line")'


def details(loading: Loading) -> dict[str, str]:
    """Return the expressions of the `facts.<name>` columns, by name."""
    named = {key: field for key, field in loading.reading.fields.items() if key.startswith(FACT_PREFIX)}
    return {key.removeprefix(FACT_PREFIX): fact_as_json(field) for key, field in named.items()}


def _add(
    loading: Loading, table: str, named: str, columns: dict[str, str], derived: dict[str, str] | None = None
) -> Counts:
    _customers(loading)
    same, prefix = (f'customer, {named}, "at"', f"{named} || '@' || ") if named else ('customer, "at"', "")
    made = f"""{prefix}"at" || '#' || {turn(loading, same)}"""
    joined = (
        f"SELECT k.id AS customer_id, {own_key(loading, made)} AS happening_key, r.* "
        f"FROM ({loading.valid_rows()}) AS r "
        "JOIN known_customer AS k ON k.key = r.customer"
    )
    loading.keep_last("good", joined, ["customer_id", "happening_key"])
    own = details(loading)
    all_columns = {"customer_id": "customer_id", "key": "happening_key", "at": '"at"', **columns}
    all_columns |= {"facts": json(own)} if named or own else {}
    return loading.upsert(table, all_columns, "good", instants=["at"], facts=list(own), derived=derived)


def _own_columns(loading: Loading) -> dict[str, str]:
    """Return the columns that have a field of the same name, apart from the customer, the key and the time."""
    common = ("customer", "key", "at")
    return {key: name(key) for key in loading.reading.fields if key not in common and not key.startswith(FACT_PREFIX)}


def _customers(loading: Loading) -> None:
    loading.look_up("customer", KEYS)
    loading.reject_unknown("customer", "customer", "key", "is not a known customer key")
