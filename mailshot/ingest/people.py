"""Owns the import of customers and of their consents; refuses to let two customers share one mailbox.

A mail twice to one mailbox is the worst mistake, so of customers with the same address only one keeps it: the one that
has it in the store already, else the first in the file. The others are kept without it, and told.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailshot.ingest.fields import Field, Type
from mailshot.ingest.loading import Loading, json
from mailshot.ingest.values import SCALE, literal, name
from mailshot.profile import address, lot
from mailshot.profile.address import Fault
from mailshot.store import dossier
from mailshot.store.bulk import Counts

ERASED = f"begins with {dossier.ERASED_KEY}, which marks erased customers"
_DERIVED = {"row": "BIGINT", "lot": "BIGINT", "address": "VARCHAR", "print": "VARCHAR", "fault": "VARCHAR"}


def customers(loading: Loading) -> Counts:
    """Add new customers, and change what a mapped column says differently about known ones."""
    fields = loading.reading.fields
    with_address = "email" in fields
    loading.look_up("customer", {"key": "VARCHAR", "address_hash": "VARCHAR"})
    _refuse_keys_of_erased(loading)
    _derive(loading, with_address)
    loading.keep_last("good", f'SELECT * FROM ({loading.sound()}) JOIN derived ON "#line" = derived.row', ["key"])
    if with_address:
        _one_owner_each(loading)
    columns = {"key": "key", "lot": "lot"}
    if with_address:
        columns |= {"email": "address", "address_hash": "print"}
    columns |= {key: name(key) for key, field in fields.items() if not field.own and key not in ("key", "email")}
    own = {key: fact(field) for key, field in fields.items() if field.own}
    instants = ["joined_at"] if "joined_at" in fields else []
    return loading.upsert("customer", {**columns, "facts": json(own)}, "good", instants=instants, facts=list(own))


def consents(loading: Loading) -> Counts:
    """Append to the log of consents, and let the newest entry stand."""
    loading.look_up("customer", {"id": "BIGINT", "key": "VARCHAR"})
    loading.refuse_unknown("customer", "customer", "key", "is no customer's key")
    joined = (
        f"SELECT k.id AS customer_id, r.* FROM ({loading.sound()}) AS r JOIN known_customer AS k ON k.key = r.customer"
    )
    loading.keep_last("good", joined, ["customer_id", "topic", "at", "given"])
    proof = json({"import": literal(loading.mapping), "file": literal(loading.reading.file.path.name)})
    columns = {"customer_id": "customer_id", "topic": "topic", "given": "given", "at": '"at"'}
    logged = loading.upsert("consent_log", {**columns, "source": "source", "proof": proof}, "good", instants=["at"])
    newest = 'row_number() OVER (PARTITION BY customer_id, topic ORDER BY "at" DESC, given) = 1'
    loading.upsert("consent", columns, f"(SELECT * FROM good QUALIFY {newest})", instants=["at"])
    return logged


def fact(field: Field) -> str:
    """Return the expression of an own fact as JSON holds it."""
    if field.type is Type.number:
        return f"{name(field.name)} / {SCALE}.0"
    return name(field.name)


def _refuse_keys_of_erased(loading: Loading) -> None:
    """Keep out keys that only an erasure gives: one would fill an erased customer's row, or block an erasure."""
    loading.stage.run(
        f'INSERT INTO {loading.reading.faults} SELECT "#line", {literal(loading.reading.label("key"))}, key, '
        f"{literal(ERASED)} FROM ({loading.sound()}) "
        f"WHERE starts_with(key, {literal(dossier.ERASED_KEY)})"
    )


def _derive(loading: Loading, with_address: bool) -> None:
    """Make `derived`: what only Python can work out of a row, by its line; refuse the rows with a bad address."""
    email = "email" if with_address else "NULL"
    query = f'SELECT "#line", key, {email} FROM ({loading.sound()})'

    def rows() -> Iterator[tuple[object, ...]]:
        for batch in loading.stage.stream(query):
            for line, key, written in batch:
                yield (line, lot.lot(key), *_address(loading.address_key, written))

    loading.stage.replace("derived", _DERIVED, rows())
    if with_address:
        loading.stage.run(
            f"INSERT INTO {loading.reading.faults} SELECT row, {literal(loading.reading.label('email'))}, email, fault "
            f'FROM derived JOIN {loading.reading.rows} ON "#line" = row WHERE fault IS NOT NULL'
        )


def _address(key: bytes, written: str | None) -> tuple[str | None, str | None, str | None]:
    """Return address, fingerprint and fault."""
    if written is None:
        return None, None, None
    found = address.normalise(written)
    if isinstance(found, Fault):
        return None, None, f"is no e-mail address: {found.reason}"
    return found.email, address.fingerprint(key, found.email), None


def _one_owner_each(loading: Loading) -> None:
    """Leave each address with one customer."""
    outside = "known_customer ANTI JOIN good USING (key) WHERE address_hash IS NOT NULL"
    loading.stage.run(
        f"""CREATE OR REPLACE TABLE owners AS
        SELECT print, arg_min(key, turn) AS owner, count(*) AS claims FROM (
            SELECT address_hash AS print, key, -1 AS turn FROM {outside}
            UNION ALL
            SELECT g.print, g.key, CASE WHEN k.address_hash = g.print THEN 0 ELSE "#line" END
            FROM good AS g LEFT JOIN known_customer AS k ON k.key = g.key WHERE g.print IS NOT NULL)
        GROUP BY print HAVING claims > 1"""
    )
    losing = "FROM good JOIN owners ON owners.print = good.print WHERE owners.owner <> good.key"
    loading.stage.run(
        f'INSERT INTO {loading.reading.warnings} SELECT "#line", {literal(loading.reading.label("email"))}, address, '
        f"'has the same address as customer ''' || owner || ''' and is kept without one' {losing}"
    )
    loading.stage.run(
        "UPDATE good SET address = NULL, print = NULL FROM owners "
        "WHERE owners.print = good.print AND owners.owner <> good.key"
    )
