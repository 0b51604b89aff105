"""Loads consents and withdrawals, identified by customer key or by address.

A withdrawal is never dropped silently. If customer and topic are certain, it is applied even if other cells of the
row are unreadable. Otherwise the row is rejected and the import warns. A withdrawal of an address that no
customer has is stored for the address, and applies to every customer who gets it later.

Every row keeps its own time, so importing a file again adds nothing. A consent re-dated to the import would
be newer each time and cancel withdrawals made in between. A consent dated further ahead than the clock
tolerance is rejected.
"""

from __future__ import annotations

from datetime import timedelta

from mailshot.ingest import addresses
from mailshot.ingest.duckdb_sql import literal, name
from mailshot.ingest.loaders.loader import Loading, json
from mailshot.store.bulk import Counts
from mailshot.store.column_types import microseconds

#: How far the clock that dated the rows may be ahead of this machine's.
CLOCK_TOLERANCE = timedelta(hours=1)
FUTURE_DATE = "is after this import (is the mapping's time_zone correct?)"
#: The source of a withdrawal without one.
UNNAMED_SOURCE = "import"
_NO_CUSTOMER = "is not a known customer key"


def load_consents(loading: Loading) -> Counts:
    """Append to the consent log, store the latest value, and store withdrawals for their address as well."""
    addresses.find_customers(loading)
    _reject_unknown_customers(loading)
    for field in ("at", "source"):
        _reject_incomplete(loading, field)
    _reject_future(loading)
    for field, reason in (("at", "the withdrawal applies from this import"), ("source", "the withdrawal is applied")):
        _warn_applied_withdrawals(loading, field, reason)
    _stage_valid_rows(loading)
    return _load(loading)


def _rows(loading: Loading) -> str:
    """Return the table expression of all rows joined with their customer or address."""
    return f'(SELECT * FROM {loading.reading.rows} JOIN (SELECT * RENAME (email AS written) FROM who) ON row = "#line")'


def _reject_unknown_customers(loading: Loading) -> None:
    """Reject rows of unknown customers, except withdrawals of unknown addresses, which are stored."""
    rows, fields = _rows(loading), loading.reading.fields
    if "customer" in fields:
        unknown = f"{rows} WHERE key IS NOT NULL AND customer_id IS NULL"
        loading.reject("customer", f"'{_NO_CUSTOMER}'", f"{unknown} AND (given IS NOT FALSE OR print IS NULL)")
        loading.warn("customer", f"'{_NO_CUSTOMER}: the withdrawal applies to the address'",
                     f"{unknown} AND given IS FALSE AND print IS NOT NULL")  # fmt: skip
    if "email" in fields:
        nobody = "print NOT IN (SELECT address_hash FROM known_customer WHERE address_hash IS NOT NULL)"
        loading.reject("email", "'does not belong to any customer'", f"{rows} WHERE key IS NULL AND given AND {nobody}")


def _reject_incomplete(loading: Loading, field: str) -> None:
    """Reject a consent without time or source."""
    lacking = f"{loading.reading.rows} WHERE given AND {name(field)} IS NULL"
    loading.reject_dropped(field, f'SELECT "#line" FROM {lacking}')
    loading.reject(field, "'is missing'", f"""{lacking} AND NOT coalesce(list_contains("#lost", '{field}'), FALSE)""")


def _reject_future(loading: Loading) -> None:
    """Reject consents dated beyond the tolerance; warn about such withdrawals, and about all other future dates."""
    now, latest = microseconds(loading.now), _latest(loading)
    future = f'{loading.reading.rows} WHERE "at" > {latest}'
    reason = "is after this import: consent cannot be given in the future (is the mapping''s time_zone correct?)"
    loading.reject("at", f"'{reason}'", f"{future} AND given")
    obeyed = f'({loading.valid_rows()}) WHERE "at" > {latest} AND NOT given'
    loading.warn("at", "'is after this import: the withdrawal applies from this import'", obeyed)
    ahead = f'({loading.valid_rows()}) WHERE "at" > {now} AND "at" <= {latest}'
    loading.warn("at", literal(FUTURE_DATE), ahead)


def _latest(loading: Loading) -> int:
    """Return the latest time that a row of this import may have, in microseconds."""
    return microseconds(loading.now + CLOCK_TOLERANCE)


def _warn_applied_withdrawals(loading: Loading, field: str, outcome: str) -> None:
    """Warn about withdrawals that are applied although a cell is empty or unreadable."""
    lacking = f"({loading.valid_rows()}) WHERE NOT given AND {name(field)} IS NULL"
    loading.db.run(
        f"UPDATE {loading.reading.warnings} SET reason = reason || {literal(': ' + outcome)}, field = NULL "
        f'WHERE field = {literal(field)} AND line IN (SELECT "#line" FROM {lacking})'
    )
    silent = f"""{lacking} AND NOT coalesce(list_contains("#lost", '{field}'), FALSE)"""
    loading.warn(field, literal(f"is missing: {outcome}"), silent)


def _stage_valid_rows(loading: Loading) -> None:
    """Fill `good` with the valid rows (one customer or address each), and `targets` with their customers."""
    # A withdrawal without a readable time, or dated beyond the tolerance, may be newer than any consent
    # that this import accepts. Only at the end of the tolerance is it certainly the latest.
    latest = _latest(loading)
    query = (
        'SELECT "#line", customer_id, print, topic, given, '
        f'least(coalesce("at", {latest}), {latest}) AS "at", coalesce(source, {literal(UNNAMED_SOURCE)}) AS source '
        f'FROM ({loading.valid_rows()}) JOIN who ON row = "#line"'
    )
    loading.keep_last("good", query, ["customer_id", "print", "topic", "at", "given"])
    # The customer of the key; without a key, all customers at the address.
    loading.db.run(
        "CREATE OR REPLACE TABLE targets AS "
        'SELECT *, row_number() OVER (PARTITION BY "#line" ORDER BY customer_id) AS nth '
        "FROM (SELECT * FROM good WHERE customer_id IS NOT NULL UNION ALL BY NAME "
        "SELECT g.* REPLACE (k.id AS customer_id) FROM good AS g JOIN known_customer AS k ON k.address_hash = g.print "
        "WHERE g.customer_id IS NULL)"
    )


def _load(loading: Loading) -> Counts:
    """Load `targets` and `good`. A row counts as added once: for its first customer, or else for its address."""
    addresses.lock_queried_customers(loading, "SELECT DISTINCT customer_id FROM targets WHERE NOT given")
    proof = json({"import": literal(loading.mapping), "file": literal(loading.reading.file.name)})
    columns = {"customer_id": "customer_id", "topic": "topic", "given": "given", "at": '"at"'}
    log = {**columns, "source": "source", "proof": proof}
    once = 'row_number() OVER (PARTITION BY customer_id, topic, "at", given ORDER BY "#line") = 1'
    counts = [
        loading.upsert("consent_log", log, f"(SELECT * FROM targets WHERE {part} QUALIFY {once})", instants=["at"])
        for part in ("nth = 1", "nth > 1")
    ]
    newest = 'row_number() OVER (PARTITION BY customer_id, topic ORDER BY "at" DESC, given) = 1'
    latest = loading.now + CLOCK_TOLERANCE
    loading.upsert("consent", columns, f"(SELECT * FROM targets QUALIFY {newest})", instants=["at"], latest=latest)
    kept = _store_address_withdrawals(loading)
    return Counts(counts[0].added + kept.added, kept.changed)


def _store_address_withdrawals(loading: Loading) -> Counts:
    """Store withdrawals that name an address; return the counts for addresses without a customer."""
    columns = {"address_hash": "print", "topic": "topic", "at": '"at"', "source": "source"}
    newest = 'row_number() OVER (PARTITION BY print, topic ORDER BY "at" DESC, source) = 1'
    owned = '"#line" IN (SELECT "#line" FROM targets)'
    withdrawals = "SELECT * FROM good WHERE print IS NOT NULL AND NOT given AND"
    loading.upsert("address_withdrawal", columns, f"({withdrawals} {owned} QUALIFY {newest})", instants=["at"])
    return loading.upsert(
        "address_withdrawal", columns, f"({withdrawals} NOT {owned} QUALIFY {newest})", instants=["at"]
    )
