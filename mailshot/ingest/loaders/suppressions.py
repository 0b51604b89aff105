"""Loads addresses that must not be mailed, such as bounces and complaints exported from another mailing tool.

Only the keyed hash of an address is stored, so a list may contain addresses without a customer: they are suppressed
for any customer who gets them later. An address keeps its first reason.
"""

from __future__ import annotations

from mailshot.ingest import addresses
from mailshot.ingest.column_mapping import BLANKS
from mailshot.ingest.duckdb_sql import literal, literals
from mailshot.ingest.loaders.loader import Loading
from mailshot.store.bulk import Counts
from mailshot.store.column_types import microseconds

MAX_REASON_LENGTH = 200
#: The reason of a row without one.
UNNAMED_REASON = "imported"
#: Synonyms of other mailing tools for Mailshot's reasons.
REASON_SYNONYMS = {
    "bounced": (
        "bounce", "bounced", "bounces", "hard bounce", "hard_bounce", "hard-bounce", "hardbounce", "hard bounced",
        "hard", "permanent", "permanent bounce", "cleaned", "invalid", "invalid address", "undeliverable",
        "user unknown", "no such user", "mailbox not found",
    ),
    "complained": (
        "complaint", "complaints", "complained", "spam", "spam complaint", "spam report", "spamreport", "spam_report",
        "marked as spam", "reported as spam", "abuse", "abuse complaint", "abuse report", "feedback loop", "fbl",
    ),
    "unsubscribed": (
        "unsubscribe", "unsubscribed", "unsubscribes", "unsubscription", "unsub", "opt out", "opt-out", "opted out",
        "opted-out", "opted_out", "opt_out", "optout", "list unsubscribe", "manual unsubscribe", "withdrawn",
    ),
}  # fmt: skip


def load_suppressions(loading: Loading) -> Counts:
    """Suppress the addresses in the rows, and the addresses of the customers whose keys are in the rows."""
    addresses.find_customers(loading)
    if "customer" in loading.reading.fields:
        rows = 'SELECT row AS "#line", key AS customer FROM who WHERE print IS NULL AND'
        unknown, silent = "key IS NOT NULL AND customer_id IS NULL", "customer_id IS NOT NULL AND address_hash IS NULL"
        loading.reject("customer", literal("is not a known customer key"), f"({rows} {unknown})")
        loading.reject("customer", literal("this customer has no address to suppress"), f"({rows} {silent})")
    columns = {"address_hash": "print", "reason": "reason", "source": "source", "at": '"at"'}
    loading.db.run(f"CREATE OR REPLACE TABLE named AS {_suppressed_hashes(loading)}")
    first = 'SELECT * FROM named WHERE nth = 1 QUALIFY row_number() OVER (PARTITION BY print ORDER BY "#line") = 1'
    loading.db.run(f"CREATE OR REPLACE TABLE good AS {first}")
    loading.valid_count = loading.db.one("SELECT count(*) FROM good")
    addresses.lock_queried_customers(
        loading, "SELECT DISTINCT id FROM known_customer JOIN named ON named.print = address_hash"
    )
    counts = loading.upsert("suppression", columns, "good", instants=["at"])
    others = 'SELECT * FROM named WHERE nth = 2 QUALIFY row_number() OVER (PARTITION BY print ORDER BY "#line") = 1'
    loading.upsert("suppression", columns, f"({others})", instants=["at"])
    return counts


def _suppressed_hashes(loading: Loading) -> str:
    """Return a query of the hashes each valid row suppresses: its address, and its customer's address."""
    fields, now = loading.reading.fields, microseconds(loading.now)
    at = f'least(coalesce("at", {now}), {now})' if "at" in fields else str(now)
    source = f"coalesce(source, {literal(loading.mapping)})" if "source" in fields else literal(loading.mapping)
    reason = _mapped_reason() if "reason" in fields else literal(UNNAMED_REASON)
    hashes = "list_distinct([coalesce(print, address_hash), coalesce(address_hash, print)])"
    query = f"""SELECT "#line", {reason} AS reason, {source} AS source, {at} AS "at", unnest({hashes}) AS print
        FROM ({loading.valid_rows()}) JOIN (SELECT row, print, address_hash FROM who) ON row = "#line\""""
    return f'SELECT *, row_number() OVER (PARTITION BY "#line" ORDER BY print) AS nth FROM ({query})'


def _mapped_reason() -> str:
    """Return the SQL expression that maps a row's reason to Mailshot's, if there is one."""
    cases = " ".join(f"WHEN lower(trim(reason, {literal(BLANKS)})) IN ({literals(synonyms)}) THEN {literal(ours)}"
                     for ours, synonyms in REASON_SYNONYMS.items())  # fmt: skip
    return f"coalesce(CASE {cases} ELSE left(reason, {MAX_REASON_LENGTH}) END, {literal(UNNAMED_REASON)})"
