"""Addresses in imported rows: their normal form and keyed hash, and the customers who have them.

Only Python can normalise and hash an address, so it is done beside the workbench and joined by line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from mailshot.ingest.duckdb_sql import literal, name
from mailshot.ingest.loaders.loader import Loading
from mailshot.profile import address
from mailshot.profile.address import Fault
from mailshot.store import dialect

#: What addresses_n holds of each row that names an address: `print` is the keyed hash, `fault` why there is none.
HASHED = {"row": "BIGINT", "address": "VARCHAR", "print": "VARCHAR", "fault": "VARCHAR"}
MOST_HELD = 10_000
#: RFC 5321 allows these signs before the @, but in a list '*@example.net' or '%@example.net' means all of a domain.
WILDCARD = re.compile(r"%@|[^@]*\*[^@]*@")
MANY = "it contains a wildcard (* or %); list each address separately"


def hash_all(loading: Loading) -> None:
    """Make the table `hashed` of all rows that name an address, by their line."""
    query = f'SELECT "#line", email FROM {loading.reading.rows} WHERE email IS NOT NULL'

    def rows() -> Iterator[tuple[object, ...]]:
        for batch in loading.stage.stream(query) if "email" in loading.reading.fields else ():
            for line, written in batch:
                yield (line, *_hashed(loading.address_key, written))

    loading.stage.replace("hashed", HASHED, rows())


def find_people(loading: Loading) -> None:
    """Make the table `who`: for each row its customer, where the key names one, and the hash of its address.

    `hash_all` must have run. Columns: row, customer_id, and print. A row that names nobody is rejected; `print` is of a
    readable address only.
    """
    loading.look_up("customer", {"id": "BIGINT", "key": "VARCHAR", "address_hash": "VARCHAR"})
    fields = loading.reading.fields
    key, email = (name(each) if each in fields else "NULL::VARCHAR" for each in ("customer", "email"))
    loading.stage.run(
        f'CREATE OR REPLACE TABLE who AS SELECT r."#line" AS row, {key} AS key, {email} AS email, '
        "k.id AS customer_id, k.address_hash, h.print, h.fault "
        f"FROM {loading.reading.rows} AS r LEFT JOIN known_customer AS k ON k.key = {key} "
        'LEFT JOIN hashed AS h ON h.row = r."#line"'
    )
    _tell_unreadable(loading)


def _tell_unreadable(loading: Loading) -> None:
    """Tell the addresses and keys that cannot be read, and reject the rows that then name nobody."""
    reading = loading.reading
    faulty = "'is no e-mail address: ' || fault"
    if "email" in reading.fields:
        loading.warn("email", faulty, '(SELECT row AS "#line", * FROM who WHERE fault IS NOT NULL)')
    nameless = "SELECT row FROM who WHERE key IS NULL AND print IS NULL"
    labels = ", ".join(literal(reading.label(each)) for each in ("customer", "email") if each in reading.fields)
    # What was lost of them is why they are rejected.
    lost = f'FROM {reading.warnings} WHERE line IN ({nameless}) AND "column" IN ({labels})'
    loading.stage.run(f"INSERT INTO {reading.faults} SELECT * {lost}")
    loading.stage.run(f"DELETE {lost}")
    field = "email" if "email" in reading.fields else "customer"
    silent = f'SELECT row AS "#line", * FROM who WHERE row IN ({nameless} EXCEPT SELECT line FROM {reading.faults})'
    loading.refuse(field, "'is missing'", f"({silent})", "NULL")


def hold(loading: Loading, query: str) -> None:
    """Lock the customers whose ids a query gives, and all at their addresses, before their withdrawals are written.

    So no mail to any of them is released past what is being said.
    """
    for ids in many(loading, f"{query} ORDER BY 1"):
        dialect.lock_customers(loading.connection, ids, alone=True, inbox=True)


def many(loading: Loading, query: str) -> Iterator[list[int]]:
    """Give the ids that a query on the workbench returns, so many at a time as one statement takes."""
    ids = (int(row[0]) for batch in loading.stage.stream(query) for row in batch)
    while some := list(islice(ids, MOST_HELD)):
        yield some


def _hashed(key: bytes, written: str) -> tuple[str | None, str | None, str | None]:
    """Return address, hash and fault."""
    if WILDCARD.match(written.strip()):
        return None, None, MANY
    found = address.normalise(written)
    if isinstance(found, Fault):
        return None, None, found.reason
    return found.email, address.fingerprint(key, found.email), None
