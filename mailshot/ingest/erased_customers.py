"""Leaves the rows of erased customers out of an import, so that no file brings them back.

A row belongs to an erased customer if its key was erased, or its address and no other customer has the key. Only keyed
hashes of both are stored. Such rows are deleted from the staging database before they are checked, so no file of
rejected rows and no note contains them; the report counts them. A withdrawal with an address stays: it stores only a
hash, and may apply to another customer with that inbox.

A customer who signed up again (`mailshot suppression lift --signed-up-again`) is imported again, without earlier rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from mailshot.ingest.duckdb_sql import name
from mailshot.ingest.fields import Kind
from mailshot.ingest.loaders.loader import Loading
from mailshot.profile import address
from mailshot.store import erasures, suppression
from mailshot.store.column_types import microseconds

#: The fields that name a customer by key.
KEYS = {Kind.customers: ("key",), Kind.referrals: ("customer", "referred")}
_NAMED = ("customer",)
_BY_ADDRESS = (Kind.customers, Kind.consents, Kind.suppressions)
#: `until`: rows before that time (in microseconds) are left out; NULL: all rows.
_ERASED = {"key": "VARCHAR", "until": "BIGINT"}


def leave_out(loading: Loading) -> int:
    """Delete the rows of erased customers from the staging database and return their number.

    The table `hashed` must exist (addresses.hash_all).
    """
    fields = [key for key in KEYS.get(loading.reading.item.kind, _NAMED) if key in loading.reading.fields]
    known = dict(erasures.keys(loading.connection))
    by_address = loading.reading.item.kind in _BY_ADDRESS and "email" in loading.reading.fields
    hashes = suppression.erased(loading.connection) if by_address else {}
    if not known and not hashes:
        return 0
    loading.db.run('CREATE OR REPLACE TABLE left_out ("#line" BIGINT)')
    for field in fields if known else ():
        _find_keys(loading, field, known)
    if hashes:
        _find_addresses(loading, hashes, *fields)
    return _remove(loading)


def _find_keys(loading: Loading, field: str, known: Mapping[str, datetime | None]) -> None:
    """Add lines with an erased key to `left_out`; a withdrawal with an address loses its key instead."""
    rows, key = loading.reading.rows, name(field)

    def erased() -> Iterator[tuple[str, int | None]]:
        for batch in loading.db.stream(f"SELECT DISTINCT {key} FROM {rows} WHERE {key} IS NOT NULL"):
            for (value,) in batch:
                hashed = address.hash_customer_key(loading.address_key, value)
                if hashed in known:
                    until = known[hashed]
                    yield value, microseconds(until) if until else None

    loading.db.replace("erased_keys", _ERASED, erased())
    since = 'OR r."at" < k.until' if "at" in loading.reading.fields else ""
    whose = f"{rows} AS r JOIN erased_keys AS k ON r.{key} = k.key WHERE (k.until IS NULL {since})"
    kept = _kept(loading)
    loading.db.run(f'INSERT INTO left_out SELECT r."#line" FROM {whose} AND NOT ({kept})')
    if kept != "FALSE":
        lines = f'SELECT r."#line" FROM {whose} AND {kept}'
        loading.db.run(f'UPDATE {rows} SET {key} = NULL WHERE "#line" IN ({lines})')


def _kept(loading: Loading) -> str:
    """Return the condition, over rows called r, of rows that store only the hash of an address."""
    kind = loading.reading.item.kind
    if kind not in (Kind.consents, Kind.suppressions) or "email" not in loading.reading.fields:
        return "FALSE"
    readable = 'r."#line" IN (SELECT row FROM hashed WHERE print IS NOT NULL)'
    return f"{readable} AND r.given IS FALSE" if kind is Kind.consents else readable


def _find_addresses(loading: Loading, hashes: Mapping[str, datetime], key: str = "") -> None:
    """Add lines with an erased address to `left_out`, unless a known customer has the key or the address."""
    rows, kind = loading.reading.rows, loading.reading.item.kind
    loading.look_up("customer", {"id": "BIGINT", "key": "VARCHAR", "address_hash": "VARCHAR"})
    loading.db.replace("erased_addresses", {"print": "VARCHAR"}, ((address_hash,) for address_hash in hashes))
    strange = f"(r.{name(key)} IS NULL OR r.{name(key)} NOT IN (SELECT key FROM known_customer))" if key else "TRUE"
    whose = (
        f'{rows} AS r JOIN hashed AS h ON h.row = r."#line" JOIN erased_addresses AS e USING (print) WHERE {strange}'
    )
    if kind is Kind.customers:
        _remember_keys(loading, whose, hashes)
    else:
        nobody = "print NOT IN (SELECT address_hash FROM known_customer WHERE address_hash IS NOT NULL)"
        whose += f" AND NOT ({_kept(loading)}) AND {nobody}"
    loading.db.run(f'INSERT INTO left_out SELECT r."#line" FROM {whose}')


def _remember_keys(loading: Loading, whose: str, hashes: Mapping[str, datetime]) -> None:
    """Store the keys under which erased customers are left out, for files that contain only keys."""
    for batch in loading.db.stream(f"SELECT DISTINCT r.key, print FROM {whose} AND r.key IS NOT NULL"):
        for key, address_hash in batch:
            hashed = address.hash_customer_key(loading.address_key, key)
            erasures.remember(loading.connection, [hashed], address_hash, hashes[address_hash])


def _remove(loading: Loading) -> int:
    """Delete the lines of `left_out` from the rows and from their notes."""
    number = loading.db.one('SELECT count(DISTINCT "#line") FROM left_out')
    if number:
        loading.db.run(f'DELETE FROM {loading.reading.rows} WHERE "#line" IN (FROM left_out)')
        for table in (loading.reading.faults, loading.reading.warnings):
            loading.db.run(f"DELETE FROM {table} WHERE line IN (FROM left_out)")
    return number
