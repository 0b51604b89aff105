"""Loads customers.

Two customers may have the same address (a couple, or one person with two accounts). Both keep it, and the import
reports it. Plans and the final check before the dot ensure that one inbox gets one mail per run, and none after a
withdrawal.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from mailshot.ingest import addresses, iso_codes
from mailshot.ingest.duckdb_sql import literal, name
from mailshot.ingest.fields import Field, Type
from mailshot.ingest.loaders.loader import Loading, json
from mailshot.ingest.number_parsers import SCALE
from mailshot.profile import bucketing
from mailshot.store import address_changes, audiences, consent, fact_corrections, inboxes, ledger, suppressed_digests
from mailshot.store.bulk import Counts

ERASED = f"begins with {audiences.ERASED_KEY}, which is reserved for erased customers"
UNSUPPORTED = (
    "has letters such as ü or ø before the @, which Mailshot cannot send to (SMTPUTF8): this customer gets no mail"
)
CORRECTED = "differs from what the customer said on the preference page"
REPLACED = "is an address that the customer has replaced by another one"
SHARED = "they count as one inbox: it gets one mail per campaign, and none if any of them withdraws consent"
# Known customers with the address rank before new ones; within each group, the first in the file.
_KNOWN_RANK = -(1 << 40)
_RANDOM_NUMBER_COLUMNS = {"row": "BIGINT", "lot": "BIGINT"}


def load_customers(loading: Loading) -> Counts:
    """Add new customers, and update known ones where a mapped column differs."""
    fields = loading.reading.fields
    with_address = "email" in fields
    loading.look_up("customer", {"id": "BIGINT", "key": "VARCHAR", "address_hash": "VARCHAR"})
    _reject_erased_keys(loading)
    if with_address:
        _drop_old_addresses(loading)
        faulty = '(SELECT row AS "#line", fault FROM hashed WHERE fault IS NOT NULL)'
        loading.drop_value("email", "'is not an e-mail address: ' || fault", faulty)
        unsupported = "(SELECT row FROM hashed WHERE strlen(address) > length(address))"
        loading.warn("email", literal(UNSUPPORTED), f'{loading.reading.rows} JOIN {unsupported} ON row = "#line"')
    iso_codes.normalise_codes(loading)
    _drop_impossible_birthdays(loading)
    _drop_corrected_facts(loading)
    _assign_random_numbers(loading)
    loading.keep_last("good", _with_computed_columns(loading), ["key"])
    columns = {"key": "key", "lot": '"#lot"'}
    if with_address:
        _warn_shared_addresses(loading)
        _detach_old_addresses(loading)
        columns |= {"email": '"#address"', "address_hash": '"#print"'}
    columns |= {key: name(key) for key, field in fields.items() if not field.own and key not in ("key", "email")}
    own = {key: fact_as_json(field) for key, field in fields.items() if field.own}
    columns["facts"] = json(own)
    instants, derived = ["joined_at"] if "joined_at" in fields else [], {"address_hash": "email"}
    counts = loading.upsert("customer", columns, "good", instants=instants, facts=list(own), derived=derived)
    fact_corrections.apply_since(loading.connection, loading.now)
    address_changes.apply_since(loading.connection, loading.now)
    if with_address and suppressed_digests.has_digests(loading.connection):
        suppressed_digests.suppress_matching(loading.connection)
    return counts


def _detach_old_addresses(loading: Loading) -> None:
    """Before addresses change: store withdrawals for the old addresses, and invalidate unsent mail."""
    moved = 'good JOIN known_customer AS k USING (key) WHERE good."#print" IS DISTINCT FROM k.address_hash'
    kept = """coalesce(list_contains("#lost", 'email'), FALSE)"""
    for ids in addresses.id_batches(loading, f"SELECT k.id FROM {moved} AND NOT {kept} ORDER BY k.id"):
        consent.keep_for_address(loading.connection, ids, loading.now, loading.mapping)
        ledger.revise(loading.connection, ids)
        inboxes.leave(loading.connection, ids, loading.now)


def _with_computed_columns(loading: Loading) -> str:
    """Return a query of the valid rows joined with the columns computed in Python."""
    # A shop may have facts called 'lot' or 'address'.
    joined = f'({loading.valid_rows()}) JOIN (SELECT row AS "#row", lot AS "#lot" FROM lots) ON "#row" = "#line"'
    if "email" in loading.reading.fields:
        hashed = 'SELECT row AS "#hashed", address AS "#address", print AS "#print" FROM hashed'
        joined += f' LEFT JOIN ({hashed}) ON "#hashed" = "#line"'
    return f"SELECT * FROM {joined}"


def fact_as_json(field: Field) -> str:
    """Return the JSON expression of a shop-defined fact."""
    if field.type is Type.number:
        return f"{name(field.name)} / {SCALE}.0"
    return name(field.name)


def _reject_erased_keys(loading: Loading) -> None:
    """Reject keys reserved for erasures: they would overwrite an erased customer's row, or block an erasure."""
    loading.reject(
        "key", literal(ERASED), f"{loading.reading.rows} WHERE starts_with(key, {literal(audiences.ERASED_KEY)})"
    )


def _drop_impossible_birthdays(loading: Loading) -> None:
    """Drop dates of birth after the import. Tomorrow is allowed: it may already be tomorrow in another time zone."""
    tomorrow = literal(f"{loading.now + timedelta(days=1):%Y-%m-%d}")
    for key, field in loading.reading.fields.items():
        if field.own and field.type is Type.date and "birth" in key.lower():
            unborn = f'(SELECT "#line" FROM {loading.reading.rows} WHERE {name(key)} > {tomorrow})'
            loading.drop_value(key, "'is in the future: a date of birth must be between 1900 and today'", unborn)


def _drop_old_addresses(loading: Loading) -> None:
    """Drop addresses that the customer has replaced on the page of their data: the file is older than that."""
    loading.add_known(
        "change", dict.fromkeys(("key", "old"), "VARCHAR"), address_changes.read_confirmed(loading.connection)
    )
    rows = f'{loading.reading.rows} AS r JOIN hashed AS h ON h.row = r."#line" JOIN known_change AS k ON k.key = r.key'
    loading.db.run(
        f'CREATE OR REPLACE TABLE replaced AS SELECT DISTINCT h.row AS "#line" FROM {rows} WHERE h.print = k.old'
    )
    loading.drop_value("email", literal(REPLACED), "replaced")
    loading.db.run('UPDATE hashed SET address = NULL, print = NULL WHERE row IN (SELECT "#line" FROM replaced)')


def _drop_corrected_facts(loading: Loading) -> None:
    """Drop facts that differ from what the customer said on the preference page."""
    own = {key: field for key, field in loading.reading.fields.items() if field.own}
    batches = fact_corrections.read_corrections(loading.connection, list(own))
    loading.add_known("correction", dict.fromkeys(("key", "fact", "value"), "VARCHAR"), batches)
    if not loading.db.one("SELECT count(*) FROM known_correction"):
        return
    for key, field in own.items():
        kind = {Type.number: "DOUBLE", Type.boolean: "BOOLEAN"}.get(field.type, "VARCHAR")
        differs = f"CAST({fact_as_json(field)} AS {kind}) IS DISTINCT FROM TRY_CAST(k.value AS {kind})"
        corrected = f"{loading.reading.rows} AS r JOIN known_correction AS k USING (key)"
        lines = f'(SELECT r."#line" FROM {corrected} WHERE k.fact = {literal(key)} AND {differs})'
        loading.drop_value(key, literal(CORRECTED), lines)


def _assign_random_numbers(loading: Loading) -> None:
    """Create the table `lots`: the random number of each row's key, by line."""

    def rows() -> Iterator[tuple[object, ...]]:
        for batch in loading.db.stream(f'SELECT "#line", key FROM ({loading.valid_rows()})'):
            for line, key in batch:
                yield line, bucketing.bucket(key)

    loading.db.replace("lots", _RANDOM_NUMBER_COLUMNS, rows())


def _warn_shared_addresses(loading: Loading) -> None:
    """Warn about customers who share an address; the warning names the first customer who had it."""
    outside = "known_customer ANTI JOIN good USING (key) WHERE address_hash IS NOT NULL"
    loading.db.run(
        f"""CREATE OR REPLACE TABLE owners AS
        SELECT print, arg_min(key, turn) AS owner, count(*) AS claims FROM (
            SELECT address_hash AS print, key, {_KNOWN_RANK} AS turn FROM {outside}
            UNION ALL
            SELECT g."#print", g.key, CASE WHEN k.address_hash = g."#print" THEN {_KNOWN_RANK} ELSE 0 END + "#line"
            FROM good AS g LEFT JOIN known_customer AS k ON k.key = g.key WHERE g."#print" IS NOT NULL)
        GROUP BY print HAVING claims > 1"""
    )
    sharing = 'good JOIN owners ON owners.print = good."#print" WHERE owners.owner <> good.key'
    reason = f"'is also the address of customer ''' || owner || ''': {SHARED}'"
    loading.warn("email", reason, sharing)
