"""Loads answers of customers, each with its own time: from a survey, another mailer, or the telephone.

An answer older than a later one of the customer changes the past only, as backtests see it. Importing a
file again adds nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailshot.ingest import addresses
from mailshot.ingest.duckdb_sql import literal, name
from mailshot.ingest.loaders.consents import CLOCK_TOLERANCE
from mailshot.ingest.loaders.loader import Loading
from mailshot.states import AnswerState
from mailshot.store import answers, ledger
from mailshot.store.answers import AnswerEntry
from mailshot.store.bulk import Counts
from mailshot.store.column_types import from_microseconds, microseconds

_COLUMNS = ("customer_id", "question", "value", "at", "holds", "source", "by", "note")


def load_answers(loading: Loading) -> Counts:
    """Record each answer, with what it takes back of others to the same question."""
    loading.look_up("customer", {"id": "BIGINT", "key": "VARCHAR", "address_hash": "VARCHAR"})
    loading.reject_unknown("customer", "customer", "key", "is not a known customer key")
    latest = microseconds(loading.now + CLOCK_TOLERANCE)
    future = "'is after this import: an answer cannot be given in the future (is the mapping''s time_zone correct?)'"
    loading.reject("at", future, f'{loading.reading.rows} WHERE "at" > {latest}')
    _check_answers(loading)
    mapped = loading.reading.fields
    holds = "coalesce(holds, TRUE)" if "holds" in mapped else "TRUE"
    source = f"coalesce(source, {literal(loading.mapping)})" if "source" in mapped else literal(loading.mapping)
    others = {key: name(key) if key in mapped else "NULL" for key in ("by", "note")}
    expressions = {"customer_id": "k.id", "holds": holds, "source": source, **others}
    selected = ", ".join(f"{expressions.get(column, name(column))} AS {name(column)}" for column in _COLUMNS)
    rows = f"({loading.valid_rows()}) AS r JOIN known_customer AS k ON k.key = r.customer"
    joined = f'SELECT "#line", {selected} FROM {rows}'
    loading.keep_last("good", joined, ["customer_id", "question", "value", "at"])
    addresses.lock_queried_customers(loading, "SELECT DISTINCT customer_id FROM good")
    added, changed = 0, set[int]()
    for entry in _entries(loading):
        is_new, counts_now = answers.record_past_answer(loading.connection, entry, loading.statements)
        added += is_new
        changed |= {entry.customer_id} if counts_now else set()
    # Mail that is being prepared may no longer be right.
    ledger.revise(loading.connection, sorted(changed))
    return Counts(added, 0)


def _check_answers(loading: Loading) -> None:
    """Reject answers that cannot be understood; warn of questions that only a rule can name.

    A misspelled value would take back the right answer to a single choice, and an unreadable "no" would become a yes.
    """
    if "holds" in loading.reading.fields:
        loading.reject_dropped("holds", f'SELECT "#line" FROM {loading.reading.rows}')
    pairs = [(question.name, value) for question in loading.statements for value in question.words]
    if not pairs:
        return
    questions = ", ".join(literal(question.name) for question in loading.statements)
    known = ", ".join(f"({literal(question)}, {literal(value)})" for question, value in pairs)
    misspelled = f"{loading.reading.rows} WHERE question IN ({questions}) AND (question, value) NOT IN ({known})"
    loading.reject("value", literal("is none of the answers to its question in rules/preferences.yaml"), misspelled)
    strange = f"({loading.valid_rows()}) WHERE question NOT IN ({questions})"
    loading.warn("question", literal("is not a question in rules/preferences.yaml"), strange)


def _entries(loading: Loading) -> Iterator[AnswerEntry]:
    columns = ", ".join(map(name, _COLUMNS))
    for batch in loading.db.stream(f'SELECT {columns} FROM good ORDER BY "at", "#line"'):
        for customer_id, question, value, at, holds, source, by, note in batch:
            yield AnswerEntry(
                customer_id=customer_id,
                question=question,
                value=value,
                at=from_microseconds(at),
                state=AnswerState.yes if holds else AnswerState.no,
                source=source,
                by=by,
                note=note,
            )
