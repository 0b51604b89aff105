"""Loads campaigns that another system sent: runs, their recipients, and who responded.

A past campaign is a run in state `past`. Its `plan_id` is `past:<key>`, so importing it again updates the same run.
"""

from __future__ import annotations

from mailshot.ingest.loaders.activities import details, own_key, turn
from mailshot.ingest.loaders.loader import Loading, json
from mailshot.store import bulk
from mailshot.store.bulk import Counts

_RUNS = {"id": "BIGINT", "campaign": "VARCHAR", "start": "BIGINT"}
_SHOWN = "strftime(make_timestamp({}), '%Y-%m-%dT%H:%M:%SZ')"


def load_campaigns(loading: Loading) -> Counts:
    """Add past runs, each with a frozen definition that holds what is known of it."""
    fields = loading.reading.fields
    end = 'r."end"' if "end" in fields else "NULL::BIGINT"
    known = {"campaign": "r.key", "start": _SHOWN.format("r.start"), "end": _SHOWN.format(end)}
    known |= {"name": "r.name"} if "name" in fields else {}
    frozen = f"SELECT r.*, {end} AS finish, {json(known)} AS body FROM ({loading.valid_rows()}) AS r"
    loading.keep_last("good", f"SELECT *, sha256(body) AS digest FROM ({frozen})", ["key"])
    loading.upsert("frozen", {"digest": "digest", "kind": "'past campaign'", "body": "body"}, "good")
    columns = {"plan_id": "'past:' || key", "campaign": "key", "topic": "topic", "definition": "digest"}
    columns |= {"at_least_once": "FALSE", "state": "'past'"}
    times = {"as_of": "start", "launched_at": "start", "finished_at": "finish"}
    derived = {"finished_at": "end"}
    return loading.upsert("run", {**columns, **times}, "good", instants=list(times), derived=derived)


def load_recipients(loading: Loading) -> Counts:
    """Add to the ledger that these customers got these campaigns."""
    joined = _joined(loading, "k.id AS customer_id")
    loading.keep_last("good", joined, ["run_id", "customer_id"])
    columns = {"run_id": "run_id", "customer_id": "customer_id", "state": "'sent'", "attempts": "1"}
    times = {"dotted_at": "start", "settled_at": "start"}
    return loading.upsert("delivery", {**columns, **times}, "good", instants=list(times))


def load_conversions(loading: Loading) -> Counts:
    """Add what customers did in answer to past campaigns."""
    same = 'r.customer, r.campaign, r."at"'
    made = f"""'converted:' || r.campaign || ':' || r."at" || '#' || {turn(loading, same)}"""
    joined = _joined(loading, f"k.id AS customer_id, {own_key(loading, made)} AS feedback_key")
    loading.keep_last("good", joined, ["customer_id", "feedback_key"])
    columns = {"customer_id": "customer_id", "run_id": "run_id", "kind": "'converted'", "key": "feedback_key"}
    columns |= {"at": '"at"', "by": "'human'", "why": "'imported'", "detail": json(details(loading))}
    return loading.upsert("feedback", columns, "good", instants=["at"])


def _joined(loading: Loading, chosen: str) -> str:
    """Return the query of the valid rows with their run and customer."""
    loading.look_up("customer", {"id": "BIGINT", "key": "VARCHAR"})
    loading.add_known("run", _RUNS, bulk.read_imported_runs(loading.connection))
    loading.reject_unknown("customer", "customer", "key", "is not a known customer key")
    loading.reject_unknown("campaign", "run", "campaign", "is no past campaign's key")
    return (
        f"SELECT {chosen}, c.id AS run_id, c.start, r.* FROM ({loading.valid_rows()}) AS r "
        "JOIN known_customer AS k ON k.key = r.customer JOIN known_run AS c ON c.campaign = r.campaign"
    )
