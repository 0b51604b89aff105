"""Writes answers of customers, and replays their history in plain Python to compare with what the database says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from mailshot.states import AnswerState
from mailshot.store import answers
from mailshot.store.answers import AnswerEntry
from mailshot.store.engine import Connection

#: What counts of two entries at the same moment, the strongest last.
STRENGTH = [AnswerState.no, AnswerState.unsaid, AnswerState.yes]


def say(
    connection: Connection,
    customer: int,
    question: str,
    value: str,
    at: datetime,
    state: str = AnswerState.yes,
    source: str = "page",
) -> bool:
    """Record one answer with its own moment."""
    entry = AnswerEntry(customer_id=customer, question=question, value=value, at=at, state=state, source=source)
    return answers.record_answer(connection, entry)


def replay(
    entries: Iterable[Mapping[str, Any]], customer: int, before: datetime | None = None
) -> dict[tuple[str, str], bool]:
    """Return what counts for a customer when the entries before a moment (None: all) are read in the order of time."""
    mine = [entry for entry in entries if entry["customer_id"] == customer and (not before or entry["at"] < before)]
    states: dict[tuple[str, str], str] = {}
    for entry in sorted(mine, key=lambda entry: (entry["at"], STRENGTH.index(entry["state"]))):
        states[entry["question"], entry["value"]] = entry["state"]
    return {pair: state == "yes" for pair, state in states.items() if state != "unsaid"}
