"""What customers answered: an append-only history (`answer`), and the answers that count now (`preference`).

Every answer is written here, to both tables in one transaction. Entries may arrive in any order and more than once: for
each question and value the newest entry counts. Of two at the same moment the one that protects the customer more
counts: yes (a vegan gets no meat), then unsaid (an inferred trait protects again), then no. That is the order of their
states as text, so the newest entry is the one with the largest (`at`, `state`).

Rules about the present read `preference`; a backtest and the explanation of a past run read what had been said by
then. Start at `record_present_answer` (a page), `record_past_answer` (an import) and `stated`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import BigInteger, ColumnElement, FromClause, Index, and_, exists, or_, select
from sqlmodel import Field, SQLModel

from mailshot.profile.preferences import StatedPreference, Statements
from mailshot.states import AnswerState
from mailshot.store import dialect
from mailshot.store.column_types import Instant
from mailshot.store.engine import Connection
from mailshot.store.tables import Preference


class AnswerEntry(SQLModel, table=True):
    """One answer, or that one was taken back. Append-only: a trigger rejects changes, and deletes except erasures."""

    __tablename__ = "answer"
    __table_args__ = (
        Index("ix_answer_question", "question", "value", "customer_id", "at", "state"),
        {"sqlite_with_rowid": False},
    )
    customer_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    #: A question of `rules/preferences.yaml`, or a trait.
    question: str = Field(primary_key=True)
    value: str = Field(primary_key=True)
    #: When the customer said it.
    at: datetime = Field(primary_key=True, sa_type=Instant)
    #: A `states.AnswerState`.
    state: str = Field(primary_key=True)
    #: Where the answer came from, as in "preference page".
    source: str
    #: Who said it: `CUSTOMER`, or the member of staff who noted it; None: not known.
    by: str | None = None
    #: The run whose mail led to the answer, None without a mail.
    run_id: int | None = Field(default=None, sa_type=BigInteger)
    note: str | None = None


ANSWER, PREFERENCE = dialect.table(AnswerEntry), dialect.table(Preference)
UNSAID = AnswerState.unsaid
#: Who said it, where the customer did so in person.
CUSTOMER = "customer"
#: How far after the newest entry one is stored that must follow it.
_NEXT = timedelta(microseconds=1)


def record_answer(connection: Connection, entry: AnswerEntry) -> bool:
    """Store an answer that was given at its own moment, and return whether it changes what counts now.

    It waits for the dots that are being committed, and holds for all later ones.
    """
    dialect.lock_customers(connection, [entry.customer_id], alone=True, inbox=True)
    row = dialect.dialect_insert(connection, ANSWER).values(**entry.model_dump())
    if not dialect.changed_one(connection, row.on_conflict_do_nothing()):
        return False
    a = ANSWER.c
    newer = or_(a.at > entry.at, and_(a.at == entry.at, a.state > entry.state))
    if connection.execute(select(a.at).where(_of_same_value(entry), newer).limit(1)).first():
        return False
    return _replace_preference(connection, entry)


def record_past_answer(connection: Connection, entry: AnswerEntry, statements: Statements) -> tuple[bool, bool]:
    """Store an answer with its own moment, and what it and later answers to the question take back.

    Return whether the answer is new, and whether anything that counts now has changed.
    """
    dialect.lock_customers(connection, [entry.customer_id], alone=True, inbox=True)
    a = ANSWER.c
    mine = and_(a.customer_id == entry.customer_id, a.question == entry.question)
    history = connection.execute(select(a.value, a.at, a.state).where(mine).order_by(a.at, a.state)).all()
    if (entry.value, entry.at, entry.state) in history:
        return False, False
    states = {value: state for value, at, state in history if at < entry.at}
    earlier_answers = {
        (entry.question, value): state == AnswerState.yes for value, state in states.items() if state != UNSAID
    }
    statement = StatedPreference(entry.question, entry.value, entry.state == AnswerState.yes)
    taken_back = [(value, entry.at) for value in statements.retracted(statement, earlier_answers)]
    own = {(entry.question, entry.value): statement.holds}
    for value, at, state in history:
        later = StatedPreference(entry.question, value, state == AnswerState.yes)
        if at >= entry.at and state != UNSAID and entry.value in statements.retracted(later, own):
            taken_back.append((entry.value, at))
            break
    # The answer itself comes last: one that a later answer has taken back then changes nothing that counts now.
    unsaid = {**entry.model_dump(), "state": UNSAID, "note": None}
    entries = [AnswerEntry(**{**unsaid, "value": value, "at": at}) for value, at in taken_back]
    changes = [record_answer(connection, answer) for answer in [*entries, entry]]
    return True, any(changes)


def record_present_answer(connection: Connection, entry: AnswerEntry) -> bool:
    """Store what a customer says now, and return whether it changes anything.

    It counts from after the newest entry, even if that one has the time of a wrong clock.
    """
    dialect.lock_customers(connection, [entry.customer_id], alone=True, inbox=True)
    a = ANSWER.c
    newest = select(a.at, a.state).where(_of_same_value(entry)).order_by(a.at.desc(), a.state.desc()).limit(1)
    last = connection.execute(newest).first()
    if entry.state == (last.state if last else UNSAID):
        return False
    at = max(entry.at, last.at + _NEXT) if last else entry.at
    return record_answer(connection, AnswerEntry(**{**entry.model_dump(), "at": at}))


def _of_same_value(entry: AnswerEntry) -> ColumnElement[bool]:
    a = ANSWER.c
    return and_(a.customer_id == entry.customer_id, a.question == entry.question, a.value == entry.value)


def _replace_preference(connection: Connection, entry: AnswerEntry) -> bool:
    p = PREFERENCE.c
    if entry.state == UNSAID:
        same = and_(p.customer_id == entry.customer_id, p.name == entry.question, p.value == entry.value)
        return dialect.changed_one(connection, PREFERENCE.delete().where(same))
    values = {"holds": entry.state == AnswerState.yes, "source": entry.source, "at": entry.at}
    row = dialect.dialect_insert(connection, PREFERENCE).values(
        customer_id=entry.customer_id, name=entry.question, value=entry.value, **values
    )
    return dialect.changed_one(
        connection, row.on_conflict_do_update(index_elements=[p.customer_id, p.name, p.value], set_=values)
    )


def stated(before: datetime | None) -> FromClause:
    """Return the rows of what customers had stated `before` a moment; None: what counts now.

    Its columns are those of `preference` that rules read: customer_id, name, value and holds.
    """
    if before is None:
        return PREFERENCE
    entry, later = ANSWER.alias("entry"), ANSWER.alias("later")
    newer = exists().where(
        later.c.customer_id == entry.c.customer_id,
        later.c.question == entry.c.question,
        later.c.value == entry.c.value,
        or_(later.c.at > entry.c.at, and_(later.c.at == entry.c.at, later.c.state > entry.c.state)),
        later.c.at < before,
    )
    columns = [
        entry.c.customer_id,
        entry.c.question.label("name"),
        entry.c.value,
        (entry.c.state == AnswerState.yes).label("holds"),
    ]
    newest = select(*columns).where(entry.c.at < before, entry.c.state != UNSAID, ~newer.correlate(entry))
    return newest.subquery("stated")
