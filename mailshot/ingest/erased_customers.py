"""Leaves the rows of erased customers out of an import: whoever had their data erased does not come back with a file.

A row belongs to an erased customer when its key is one that was erased, or its address, where nobody else has that key.
Only keyed hashes of both are known. Such rows are taken off the workbench before anything is looked for in them, so no
file of rejected rows and no note ever holds them; the summary counts them. A withdrawal that names an address stays: it
keeps a hash alone, and may bind somebody else who reads that inbox.

Someone who signed up again (`mailshot suppression lift --signed-up-again`) comes in again, without what was before.
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
#: `until`: rows from before that moment (in microseconds) are left out; NULL: all rows.
_ERASED = {"key": "VARCHAR", "until": "BIGINT"}


def leave_out(loading: Loading) -> int:
    """Take the rows of erased customers off the workbench and return how many they were.

    The table `hashed` must be there (addresses.hash_all).
    """
    fields = [key for key in KEYS.get(loading.reading.item.kind, _NAMED) if key in loading.reading.fields]
    known = dict(erasures.keys(loading.connection))
    by_address = loading.reading.item.kind in _BY_ADDRESS and "email" in loading.reading.fields
    hashes = suppression.erased(loading.connection) if by_address else {}
    if not known and not hashes:
        return 0
    loading.stage.run('CREATE OR REPLACE TABLE left_out ("#line" BIGINT)')
    for field in fields if known else ():
        _find_keys(loading, field, known)
    if hashes:
        _find_addresses(loading, hashes, *fields)
    return _remove(loading)


def _find_keys(loading: Loading, field: str, known: Mapping[str, datetime | None]) -> None:
    """Add the lines to `left_out` whose key was erased; a withdrawal that names an address loses its key instead."""
    rows, key = loading.reading.rows, name(field)

    def erased() -> Iterator[tuple[str, int | None]]:
        for batch in loading.stage.stream(f"SELECT DISTINCT {key} FROM {rows} WHERE {key} IS NOT NULL"):
            for (value,) in batch:
                hashed = address.key_fingerprint(loading.address_key, value)
                if hashed in known:
                    until = known[hashed]
                    yield value, microseconds(until) if until else None

    loading.stage.replace("erased_keys", _ERASED, erased())
    since = 'OR r."at" < k.until' if "at" in loading.reading.fields else ""
    whose = f"{rows} AS r JOIN erased_keys AS k ON r.{key} = k.key WHERE (k.until IS NULL {since})"
    kept = _kept(loading)
    loading.stage.run(f'INSERT INTO left_out SELECT r."#line" FROM {whose} AND NOT ({kept})')
    if kept != "FALSE":
        lines = f'SELECT r."#line" FROM {whose} AND {kept}'
        loading.stage.run(f'UPDATE {rows} SET {key} = NULL WHERE "#line" IN ({lines})')


def _kept(loading: Loading) -> str:
    """Return the condition, over rows called r, of those that keep nothing but the hash of an address."""
    kind = loading.reading.item.kind
    if kind not in (Kind.consents, Kind.suppressions) or "email" not in loading.reading.fields:
        return "FALSE"
    readable = 'r."#line" IN (SELECT row FROM hashed WHERE print IS NOT NULL)'
    return f"{readable} AND r.given IS FALSE" if kind is Kind.consents else readable


def _find_addresses(loading: Loading, hashes: Mapping[str, datetime], key: str = "") -> None:
    """Add the lines to `left_out` whose address was erased, where nobody we know has the key or the address."""
    rows, kind = loading.reading.rows, loading.reading.item.kind
    loading.look_up("customer", {"id": "BIGINT", "key": "VARCHAR", "address_hash": "VARCHAR"})
    loading.stage.replace("erased_addresses", {"print": "VARCHAR"}, ((found,) for found in hashes))
    strange = f"(r.{name(key)} IS NULL OR r.{name(key)} NOT IN (SELECT key FROM known_customer))" if key else "TRUE"
    whose = (
        f'{rows} AS r JOIN hashed AS h ON h.row = r."#line" JOIN erased_addresses AS e USING (print) WHERE {strange}'
    )
    if kind is Kind.customers:
        _remember_keys(loading, whose, hashes)
    else:
        nobody = "print NOT IN (SELECT address_hash FROM known_customer WHERE address_hash IS NOT NULL)"
        whose += f" AND NOT ({_kept(loading)}) AND {nobody}"
    loading.stage.run(f'INSERT INTO left_out SELECT r."#line" FROM {whose}')


def _remember_keys(loading: Loading, whose: str, hashes: Mapping[str, datetime]) -> None:
    """Remember the keys under which erased customers are left out, for the files that name them by key alone."""
    for batch in loading.stage.stream(f"SELECT DISTINCT r.key, print FROM {whose} AND r.key IS NOT NULL"):
        for key, found in batch:
            hashed = address.key_fingerprint(loading.address_key, key)
            erasures.remember(loading.connection, [hashed], found, hashes[found])


def _remove(loading: Loading) -> int:
    """Delete what `left_out` names from the rows and from what was found wrong with them."""
    number = loading.stage.one('SELECT count(DISTINCT "#line") FROM left_out')
    if number:
        loading.stage.run(f'DELETE FROM {loading.reading.rows} WHERE "#line" IN (FROM left_out)')
        for table in (loading.reading.faults, loading.reading.warnings):
            loading.stage.run(f"DELETE FROM {table} WHERE line IN (FROM left_out)")
    return number
