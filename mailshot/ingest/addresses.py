"""Addresses in imported rows: their normal form and keyed hash, and the customers who have them.

Only Python can normalise and hash an address, so this happens outside the staging database, joined by line.
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

#: Columns of the table `hashed`: `print` is the keyed hash of the address, `fault` the reason why there is none.
HASHED = {"row": "BIGINT", "address": "VARCHAR", "print": "VARCHAR", "fault": "VARCHAR"}
BATCH_SIZE = 10_000
#: RFC 5321 allows these signs before the @, but in a list '*@example.net' or '%@example.net' means all of a domain.
WILDCARD = re.compile(r"%@|[^@]*\*[^@]*@")
WILDCARD_REASON = "it contains a wildcard (* or %); list each address separately"


def hash_all(loading: Loading) -> None:
    """Fill the table `hashed` for all rows with an address, by line."""
    query = f'SELECT "#line", email FROM {loading.reading.rows} WHERE email IS NOT NULL'

    def rows() -> Iterator[tuple[object, ...]]:
        for batch in loading.db.stream(query) if "email" in loading.reading.fields else ():
            for line, written in batch:
                yield (line, *_hashed(loading.address_key, written))

    loading.db.replace("hashed", HASHED, rows())


def find_customers(loading: Loading) -> None:
    """Fill the table `who`: for each row the customer of its key, and the hash of its address.

    `hash_all` must have run. Columns: row, customer_id (NULL: unknown key), print (NULL: no readable address). Rows
    with neither are rejected.
    """
    loading.look_up("customer", {"id": "BIGINT", "key": "VARCHAR", "address_hash": "VARCHAR"})
    fields = loading.reading.fields
    key, email = (name(column) if column in fields else "NULL::VARCHAR" for column in ("customer", "email"))
    loading.db.run(
        f'CREATE OR REPLACE TABLE who AS SELECT r."#line" AS row, {key} AS key, {email} AS email, '
        "k.id AS customer_id, k.address_hash, h.print, h.fault "
        f"FROM {loading.reading.rows} AS r LEFT JOIN known_customer AS k ON k.key = {key} "
        'LEFT JOIN hashed AS h ON h.row = r."#line"'
    )
    _report_unreadable(loading)


def _report_unreadable(loading: Loading) -> None:
    """Report unreadable addresses and keys, and reject rows with neither."""
    reading = loading.reading
    faulty = "'is not an e-mail address: ' || fault"
    if "email" in reading.fields:
        loading.warn("email", faulty, '(SELECT row AS "#line", * FROM who WHERE fault IS NOT NULL)')
    nameless = "SELECT row FROM who WHERE key IS NULL AND print IS NULL"
    labels = ", ".join(literal(reading.label(column)) for column in ("customer", "email") if column in reading.fields)
    # Their dropped values become the reason of the rejection.
    lost = f'FROM {reading.warnings} WHERE line IN ({nameless}) AND "column" IN ({labels})'
    loading.db.run(f"INSERT INTO {reading.faults} SELECT * {lost}")
    loading.db.run(f"DELETE {lost}")
    field = "email" if "email" in reading.fields else "customer"
    silent = f'SELECT row AS "#line", * FROM who WHERE row IN ({nameless} EXCEPT SELECT line FROM {reading.faults})'
    loading.reject(field, "'is missing'", f"({silent})", "NULL")


def lock_queried_customers(loading: Loading, query: str) -> None:
    """Lock the customers of a query and all customers at their addresses, before their withdrawals are written.

    So no mail to any of them is released while the withdrawal is being written.
    """
    for ids in id_batches(loading, f"{query} ORDER BY 1"):
        dialect.lock_customers(loading.connection, ids, alone=True, inbox=True)


def id_batches(loading: Loading, query: str) -> Iterator[list[int]]:
    """Yield the ids of a query in the staging database, in batches for one statement."""
    ids = (int(row[0]) for batch in loading.db.stream(query) for row in batch)
    while some := list(islice(ids, BATCH_SIZE)):
        yield some


def _hashed(key: bytes, written: str) -> tuple[str | None, str | None, str | None]:
    """Return address, hash and fault."""
    if WILDCARD.match(written.strip()):
        return None, None, WILDCARD_REASON
    normalised = address.normalise(written)
    if isinstance(normalised, Fault):
        return None, None, normalised.reason
    return normalised.email, address.hash_address(key, normalised.email), None
