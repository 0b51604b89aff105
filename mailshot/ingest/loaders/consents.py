"""Loads consents: given or withdrawn, by a customer's key or by an address.

A withdrawal is never dropped silently. Where person and topic are certain it is obeyed, whatever else of the row
cannot be read; where they are not, the row is rejected and the import says so loudly. One of an address that no
customer has is kept for the address, and binds every customer who gets it.

Every row keeps its own moment, so that reading a file again adds nothing: a consent that was moved to the import would
be a new and later one each time, and undo what was withdrawn in between. A consent dated further ahead than a clock
may go wrong is refused.
"""

from __future__ import annotations

from datetime import timedelta

from mailshot.ingest import addresses
from mailshot.ingest.duckdb_sql import literal, name
from mailshot.ingest.loaders.loader import Loading, json
from mailshot.store.bulk import Counts
from mailshot.store.column_types import microseconds

#: How far ahead of ours the clock that dated the rows may be.
CLOCK_TOLERANCE = timedelta(hours=1)
AHEAD = "is after this import (is the mapping's time_zone right?)"
#: The source of a withdrawal that names none.
UNNAMED_SOURCE = "import"
_NO_CUSTOMER = "is no customer''s key"


def load_consents(loading: Loading) -> Counts:
    """Append to the log of consents, let the newest entry stand, and keep withdrawals for their address as well."""
    addresses.find_customers(loading)
    _refuse_strangers(loading)
    for field in ("at", "source"):
        _refuse_incomplete(loading, field)
    _refuse_future(loading)
    for field, reason in (("at", "the withdrawal counts from this import"), ("source", "the withdrawal is obeyed")):
        _tell_obeyed(loading, field, reason)
    _gather(loading)
    return _load(loading)


def _rows(loading: Loading) -> str:
    """Return the table expression of all rows with whom they are about."""
    return f'(SELECT * FROM {loading.reading.rows} JOIN (SELECT * RENAME (email AS written) FROM who) ON row = "#line")'


def _refuse_strangers(loading: Loading) -> None:
    """Reject rows about unknown customers, except a withdrawal of an unknown address, which is kept."""
    rows, fields = _rows(loading), loading.reading.fields
    if "customer" in fields:
        unknown = f"{rows} WHERE key IS NOT NULL AND customer_id IS NULL"
        loading.reject("customer", f"'{_NO_CUSTOMER}'", f"{unknown} AND (given IS NOT FALSE OR print IS NULL)")
        loading.warn("customer", f"'{_NO_CUSTOMER}: the withdrawal counts for the address'",
                     f"{unknown} AND given IS FALSE AND print IS NOT NULL")  # fmt: skip
    if "email" in fields:
        nobody = "print NOT IN (SELECT address_hash FROM known_customer WHERE address_hash IS NOT NULL)"
        loading.reject("email", "'is the address of no customer'", f"{rows} WHERE key IS NULL AND given AND {nobody}")


def _refuse_incomplete(loading: Loading, field: str) -> None:
    """Reject a consent that does not say when or where it was given."""
    lacking = f"{loading.reading.rows} WHERE given AND {name(field)} IS NULL"
    loading.reject_dropped(field, f'SELECT "#line" FROM {lacking}')
    loading.reject(field, "'is missing'", f"""{lacking} AND NOT coalesce(list_contains("#lost", '{field}'), FALSE)""")


def _refuse_future(loading: Loading) -> None:
    """Reject consents from beyond the tolerance; tell withdrawals from there, and every row that lies ahead at all."""
    now, latest = microseconds(loading.now), _latest(loading)
    future = f'{loading.reading.rows} WHERE "at" > {latest}'
    reason = "is after this import; no consent is given in the future (is the mapping''s time_zone right?)"
    loading.reject("at", f"'{reason}'", f"{future} AND given")
    obeyed = f'({loading.valid_rows()}) WHERE "at" > {latest} AND NOT given'
    loading.warn("at", "'is after this import: the withdrawal counts from this import'", obeyed)
    ahead = f'({loading.valid_rows()}) WHERE "at" > {now} AND "at" <= {latest}'
    loading.warn("at", literal(AHEAD), ahead)


def _latest(loading: Loading) -> int:
    """Return the latest moment that a row of this import may have, in microseconds."""
    return microseconds(loading.now + CLOCK_TOLERANCE)


def _tell_obeyed(loading: Loading, field: str, outcome: str) -> None:
    """Tell the withdrawals that are obeyed although a cell of theirs is empty or cannot be read."""
    lacking = f"({loading.valid_rows()}) WHERE NOT given AND {name(field)} IS NULL"
    loading.db.run(
        f"UPDATE {loading.reading.warnings} SET reason = reason || {literal(': ' + outcome)}, field = NULL "
        f'WHERE field = {literal(field)} AND line IN (SELECT "#line" FROM {lacking})'
    )
    silent = f"""{lacking} AND NOT coalesce(list_contains("#lost", '{field}'), FALSE)"""
    loading.warn(field, literal(f"is missing: {outcome}"), silent)


def _gather(loading: Loading) -> None:
    """Fill `good` with the valid rows, each about one customer or address, and `targets` with the customers of each."""
    # A withdrawal without a readable time, or from further ahead than the tolerance, may be newer than any consent
    # that this import accepts, and those may lie ahead by the whole tolerance: only at its very end is none later.
    latest = _latest(loading)
    said = (
        'SELECT "#line", customer_id, print, topic, given, '
        f'least(coalesce("at", {latest}), {latest}) AS "at", coalesce(source, {literal(UNNAMED_SOURCE)}) AS source '
        f'FROM ({loading.valid_rows()}) JOIN who ON row = "#line"'
    )
    loading.keep_last("good", said, ["customer_id", "print", "topic", "at", "given"])
    # The customer of the key; without a key, all customers at the address.
    loading.db.run(
        "CREATE OR REPLACE TABLE targets AS "
        'SELECT *, row_number() OVER (PARTITION BY "#line" ORDER BY customer_id) AS nth '
        "FROM (SELECT * FROM good WHERE customer_id IS NOT NULL UNION ALL BY NAME "
        "SELECT g.* REPLACE (k.id AS customer_id) FROM good AS g JOIN known_customer AS k ON k.address_hash = g.print "
        "WHERE g.customer_id IS NULL)"
    )


def _load(loading: Loading) -> Counts:
    """Load `targets` and `good`; a row counts as added by the first customer it concerns, else by its address."""
    addresses.lock_customers(loading, "SELECT DISTINCT customer_id FROM targets WHERE NOT given")
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
    kept = _keep_for_addresses(loading)
    return Counts(counts[0].added + kept.added, kept.changed)


def _keep_for_addresses(loading: Loading) -> Counts:
    """Keep the withdrawals that name an address; count those of addresses that no customer has."""
    columns = {"address_hash": "print", "topic": "topic", "at": '"at"', "source": "source"}
    newest = 'row_number() OVER (PARTITION BY print, topic ORDER BY "at" DESC, source) = 1'
    owned = '"#line" IN (SELECT "#line" FROM targets)'
    withdrawals = "SELECT * FROM good WHERE print IS NOT NULL AND NOT given AND"
    loading.upsert("address_withdrawal", columns, f"({withdrawals} {owned} QUALIFY {newest})", instants=["at"])
    return loading.upsert(
        "address_withdrawal", columns, f"({withdrawals} NOT {owned} QUALIFY {newest})", instants=["at"]
    )
