"""Moves deliveries between states: each arrow is one guarded update, and no other module changes a state.

    pending --claim(token, lease)--> claimed --body is out, intent committed--> dotting --250--> sent
       ^  \\                            |  lease lapsed: pending again              |  4xx -> deferred -> pending
       |   skipped(reason) holdout     |  no longer allowed: skipped(reason)       |  5xx -> refused
       +----- at_least_once -----------+--------- unconfirmed <--- worker died or reply lost after the dot

Every arrow, by the function that takes it:

    create_deliveries    new row -> pending, skipped, holdout        a run is launched
    claim                pending, deferred -> claimed                a worker takes due rows
    commit_intent        claimed -> dotting                          the body is out, and the mail is still allowed
    skip_disallowed      claimed -> skipped, pending                 the mail is forbidden, or must be written again
    record_outcomes      dotting -> sent, unconfirmed                a worker reports an outcome (`REPORTED_FROM`)
                         claimed, dotting -> deferred, refused, pending
                         claimed -> skipped; unconfirmed -> sent
    unclaim              claimed -> pending                          a worker stops
    recover              claimed -> pending                          the lease lapsed before the dot
                         dotting -> sent, pending, unconfirmed       after it: opened meanwhile, at_least_once, in doubt
    skip_waiting         pending, deferred -> skipped                a run is cancelled; `finish_runs` skips the rest
    resolve_unconfirmed  unconfirmed -> pending, sent                an operator decides
    confirm_arrival      unconfirmed -> sent                         the customer opened or clicked the mail
    erase                pending, claimed, deferred -> skipped       the customer's data is erased

`states.FROM` is the same as data, and tests/store/test_arrows.py compares the two. `token` is the fence: a worker that
lost its lease finds no row that still carries it. Queries are in `ledger_queries`. Imported past mails start as sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    String,
    Update,
    and_,
    bindparam,
    case,
    exists,
    false,
    literal,
    not_,
    or_,
    select,
    update,
)

from mailshot import states
from mailshot.states import DeliveryState, Reason, RunState, Suspicion
from mailshot.store import column_types, conversions, dialect, eligibility_gates, ledger_queries, tables
from mailshot.store.dialect import Clause
from mailshot.store.eligibility import DELIVERY, ROW, RUN
from mailshot.store.engine import Connection
from mailshot.store.send_gates import SendGates

FEEDBACK = dialect.table(tables.Feedback)
D = DELIVERY.c
SEEN = "the customer has opened or clicked it"
IN_DOUBT = "the worker ended between the final dot and the reply"


@dataclass(frozen=True, slots=True)
class Claimed:
    """A row that a worker holds."""

    customer_id: int
    content: str
    #: Pairs of product id and how often the customer bought it.
    offers: list[list[int]]
    attempts: int
    #: How often the customer's data changed since the launch (see `revise`).
    revision: int = 0
    suspicion: int = Suspicion.none


@dataclass(frozen=True, slots=True)
class Settled:
    """A worker's report on a row that it held."""

    customer_id: int
    state: DeliveryState
    reply: str | None = None
    #: `states.Reason` of a skipped row.
    reason: str | None = None
    next_attempt_at: datetime | None = None
    #: The address, if the server says that it does not exist.
    no_mailbox: str | None = None


def create_deliveries(connection: Connection, run_id: int, plan_id: str) -> None:
    """Create the rows of a run from those of its plan: pending, or left out with the plan's reason."""
    state = case(
        (ROW.c.reason.is_(None), _text(DeliveryState.pending)),
        (ROW.c.reason == Reason.holdout, _text(DeliveryState.holdout)),
        else_=_text(DeliveryState.skipped),
    )
    planned = select(
        literal(run_id), ROW.c.customer_id, state, ROW.c.content, ROW.c.reason, ROW.c.offers, literal(0)
    ).where(ROW.c.plan_id == plan_id)
    names = ["run_id", "customer_id", "state", "content", "reason", "offers", "attempts"]
    connection.execute(DELIVERY.insert().from_select(names, planned))


def claim(connection: Connection, run_id: int, token: int, now: datetime, until: datetime, most: int) -> list[Claimed]:
    """Claim up to `most` due rows of a running run under `token`, with a lease `until` then."""
    taken: list[Claimed] = []
    for due in ledger_queries.due_clauses(now):
        if len(taken) < most:
            taken += _take(connection, run_id, due, token, until, most - len(taken))
    return taken


def _take(connection: Connection, run_id: int, due: Clause, token: int, until: datetime, most: int) -> list[Claimed]:
    # One state at a time and in the order of the index, so that a claim reads only what it takes.
    due_rows = select(D.customer_id).where(D.run_id == run_id, due, _running(run_id)).order_by(D.customer_id)
    chosen = due_rows.limit(most).with_for_update(skip_locked=True, of=DELIVERY).cte("chosen")
    taken = (
        update(DELIVERY)
        .where(D.run_id == run_id, D.customer_id.in_(select(chosen.c.customer_id)), due)
        .values(state=DeliveryState.claimed, attempts=D.attempts + 1, token=token, lease_until=until)
        .returning(D.customer_id, D.content, D.offers, D.attempts, D.revision, D.suspicion)
    )
    rows = connection.execute(taken).all()
    return [Claimed(int(row[0]), str(row[1]), row[2] or [], *(int(number) for number in row[3:])) for row in rows]


def set_suspicion(connection: Connection, run_id: int, token: int, customer_id: int, suspicion: Suspicion) -> bool:
    """Set the suspicion of a row before and after its mail is rendered; return whether the worker still holds it."""
    ours = update(DELIVERY).where(D.run_id == run_id, D.customer_id == customer_id, D.token == token)
    held = ours.where(D.state == DeliveryState.claimed)
    return connection.execute(held.values(suspicion=int(suspicion))).rowcount == 1


def revise(connection: Connection, customer_ids: Sequence[int]) -> None:
    """Raise the revision of all unsent mails to the inboxes of these customers, whose data has changed.

    A mail that was rendered for an earlier revision gets no dot: its row goes back, is checked and rendered again.
    """
    dialect.lock_customers(connection, customer_ids, alone=True, inbox=True)
    # An operator may send unconfirmed mails again.
    sendable = (*states.OPEN, DeliveryState.unconfirmed)
    unsettled = update(DELIVERY).where(D.customer_id.in_(dialect.sharing(customer_ids)), D.state.in_(sendable))
    connection.execute(unsettled.values(revision=D.revision + 1))


def commit_intent(
    connection: Connection, run_id: int, token: int, written: Mapping[int, int], now: datetime, gates: SendGates
) -> set[int]:
    """Record the intent to release the dot, where the worker still holds the row and the customer may be mailed.

    This one statement is the intent, the fence against workers that lost their lease, and the final check of all
    gates. `written` maps each customer to the revision that the mail was rendered for. Returns the customers whose
    dot may be released once the transaction is committed.
    """
    customer_ids = sorted(written)
    # Where earlier mails are counted, no other run, of any campaign, may send to the same inbox meanwhile.
    counts = gates.gates.counts
    dialect.lock_customers(connection, customer_ids, alone=counts, inbox=counts)
    allowed = (
        update(DELIVERY)
        .where(D.run_id == run_id, D.customer_id.in_(customer_ids), D.token == token)
        .where(D.state == DeliveryState.claimed, _running(run_id), not_(_outdated(written)))
        .where(*(not_(forbidden) for forbidden, _ in eligibility_gates.at_dot(gates)))
        .values(state=DeliveryState.dotting, dotted_at=now)
        .returning(D.customer_id)
    )
    return {int(row[0]) for row in connection.execute(allowed)}


def _outdated(written: Mapping[int, int]) -> Clause:
    """Return the clause that a customer's data has changed since the mail was rendered."""
    by_revision: dict[int, list[int]] = {}
    for customer_id, revision in written.items():
        by_revision.setdefault(revision, []).append(customer_id)
    if len(by_revision) == 1:
        return D.revision != next(iter(by_revision))
    return or_(false(), *(and_(D.revision != number, D.customer_id.in_(ids)) for number, ids in by_revision.items()))


def skip_disallowed(
    connection: Connection, run_id: int, token: int, written: Mapping[int, int], now: datetime, gates: SendGates
) -> None:
    """Skip rows that `commit_intent` did not allow, with the reason.

    Those that are only outdated, or whose run is no longer running, are pending again.
    """
    running, reasons = _running(run_id), eligibility_gates.at_dot(gates)
    forbidden = or_(*(clause for clause, _ in reasons))
    state = case((forbidden, _text(DeliveryState.skipped)), else_=_text(DeliveryState.pending))
    reason = case(*((clause, _text(why)) for clause, why in reasons), else_=None)
    settled_at = case((forbidden, literal(now, column_types.Instant())), else_=None)
    ours = update(DELIVERY).where(D.run_id == run_id, D.customer_id.in_(sorted(written)), D.token == token)
    back_again = or_(not_(running), _outdated(written), forbidden)
    held = ours.where(D.state == DeliveryState.claimed, back_again)
    back = {"token": None, "lease_until": None, "attempts": D.attempts - 1, "settled_at": settled_at}
    connection.execute(held.values(state=state, reason=reason, **back))


def record_outcomes(connection: Connection, run_id: int, token: int, outcomes: Iterable[Settled], now: datetime) -> int:
    """Record a worker's reports, each where it still holds the row and an arrow leads there. Returns how many moved."""
    moved = 0
    for state, group in _by_state(outcomes).items():
        change = (
            update(DELIVERY)
            .where(D.run_id == run_id, D.customer_id == bindparam("who"), D.token == token)
            .where(or_(*(D.state == before for before in states.REPORTED_FROM[state])))
            .values(
                state=state,
                reply=bindparam("answer"),
                reason=bindparam("why"),
                next_attempt_at=bindparam("again"),
                settled_at=None if state in states.OPEN else now,
                lease_until=None,
                # An unconfirmed or sent row keeps its token, so that a late report of the same worker still matches it.
                **({"token": None} if state in states.OPEN else {}),
                **({"attempts": D.attempts - 1} if state is DeliveryState.pending else {}),
            )
        )
        rows = [
            {"who": item.customer_id, "answer": item.reply, "why": item.reason, "again": item.next_attempt_at}
            for item in group
        ]
        moved += connection.execute(change, rows).rowcount
    return moved


def renew(connection: Connection, run_id: int, token: int, until: datetime) -> int:
    """Extend the lease of all rows held under `token`; return how many there are."""
    mine = update(DELIVERY).where(D.run_id == run_id, D.token == token, D.state.in_(states.HELD))
    return connection.execute(mine.values(lease_until=until)).rowcount


def unclaim(connection: Connection, run_id: int, token: int) -> int:
    """Give back every row that is claimed under `token` and whose mail was not sent; return how many."""
    mine = update(DELIVERY).where(D.run_id == run_id, D.token == token, D.state == DeliveryState.claimed)
    back = {"state": DeliveryState.pending, "token": None, "lease_until": None, "attempts": D.attempts - 1}
    return connection.execute(mine.values(**back)).rowcount


def recover(connection: Connection, now: datetime) -> tuple[int, int]:
    """Take rows from workers whose lease expired; return how many are pending again and how many are unconfirmed.

    Before the dot no mail was sent, so the row is pending again. After the intent it may have been: at_most_once shows
    the row as unconfirmed, at_least_once sends the same bytes again. A mail that was opened meanwhile has arrived.
    """
    arrived = {"state": DeliveryState.sent, "settled_at": now, "lease_until": None, "reply": SEEN}
    connection.execute(_lapsed(DeliveryState.dotting, now).where(_was_opened()).values(**arrived))
    back = {"state": DeliveryState.pending, "token": None, "lease_until": None}
    doubt = {"state": DeliveryState.unconfirmed, "settled_at": now, "lease_until": None, "reply": IN_DOUBT}
    again = RUN.c.at_least_once.is_(True)
    # Of all rows that the worker held, only the mail that it was rendering can have crashed it.
    suspicion = case(
        (D.suspicion >= int(Suspicion.writing_again), literal(int(Suspicion.proven))),
        (D.suspicion >= int(Suspicion.rendering), literal(int(Suspicion.suspected_again))),
        else_=literal(int(Suspicion.held)),
    )
    pending = connection.execute(_lapsed(DeliveryState.claimed, now).values(suspicion=suspicion, **back)).rowcount
    pending += connection.execute(_lapsed(DeliveryState.dotting, now, again).values(**back)).rowcount
    return pending, connection.execute(_lapsed(DeliveryState.dotting, now, ~again).values(**doubt)).rowcount


def _was_opened() -> Clause:
    return exists().where(
        FEEDBACK.c.customer_id == D.customer_id, FEEDBACK.c.run_id == D.run_id, FEEDBACK.c.by.in_(states.PROVES_OPEN)
    )


def _lapsed(state: DeliveryState, now: datetime, *which: Clause) -> Update:
    # Only unsettled runs have such rows. Naming the runs avoids reading every row that was ever sent.
    alive = select(RUN.c.id).where(RUN.c.state.in_(states.UNSETTLED_RUNS), *which)
    return update(DELIVERY).where(D.run_id.in_(alive), D.state == state, D.lease_until < now)


def finish_runs(connection: Connection, now: datetime) -> list[int]:
    """Finish the running runs whose rows are all settled, and skip rows that came back to cancelled runs.

    Returns the runs that are now finished.
    """
    cancelled = select(RUN.c.id).where(RUN.c.state == RunState.cancelled)
    _skip(connection, D.run_id.in_(cancelled), now)
    unsettled = exists().where(D.run_id == RUN.c.id, D.state.in_(states.OPEN))
    done = update(RUN).where(RUN.c.state == RunState.running, ~unsettled).returning(RUN.c.id)
    rows = connection.execute(done.values(state=RunState.finished, finished_at=now)).all()
    finished = [int(row[0]) for row in rows]
    for run_id in finished:
        conversions.mark_sent(connection, run_id)
    return finished


def skip_waiting(connection: Connection, run_id: int, now: datetime) -> int:
    """Skip every row of a cancelled run that no worker holds; return how many."""
    conversions.mark_sent(connection, run_id)
    return _skip(connection, D.run_id == run_id, now)


def _skip(connection: Connection, which: Clause, now: datetime) -> int:
    gone = {"state": DeliveryState.skipped, "reason": Reason.cancelled, "settled_at": now}
    return connection.execute(update(DELIVERY).where(which, D.state.in_(states.WAITING)).values(**gone)).rowcount


def resolve_unconfirmed(connection: Connection, run_id: int, resend: bool, now: datetime) -> int:
    """Settle the unconfirmed rows of a run manually: send them again, or accept them as sent. Returns how many."""
    mine = update(DELIVERY).where(D.run_id == run_id, D.state == DeliveryState.unconfirmed)
    if resend:
        changed = mine.values(state=DeliveryState.pending, token=None, settled_at=None)
        finished = update(RUN).where(RUN.c.id == run_id, RUN.c.state == RunState.finished)
        connection.execute(finished.values(state=RunState.running, finished_at=None))
    else:
        changed = mine.values(state=DeliveryState.sent, settled_at=now, reply="accepted by hand")
        conversions.mark_sent(connection, run_id)
    return connection.execute(changed).rowcount


def confirm_arrival(connection: Connection, run_id: int, customer_id: int, at: datetime, how: str) -> bool:
    """Settle an unconfirmed row as sent, because the mail was seen; return whether it was unconfirmed."""
    mine = update(DELIVERY).where(
        D.run_id == run_id, D.customer_id == customer_id, D.state == DeliveryState.unconfirmed
    )
    conversions.mark(connection, [customer_id])
    return dialect.changed_one(connection, mine.values(state=DeliveryState.sent, settled_at=at, reply=how))


def erase(connection: Connection, customer_id: int) -> None:
    """Remove what is personal from the rows of an erased customer, and skip those that are not sent.

    Rows without any are not written again. A reply of the server that arrives later is removed later.
    """
    mine = update(DELIVERY).where(D.customer_id == customer_id)
    connection.execute(mine.where(or_(D.offers.is_not(None), D.reply.is_not(None))).values(offers=None, reply=None))
    gone = {"state": DeliveryState.skipped, "reason": Reason.suppressed, "token": None}
    connection.execute(mine.where(D.state.in_(states.UNSENT)).values(**gone))


def _running(run_id: int) -> Clause:
    return exists().where(RUN.c.id == run_id, RUN.c.state == RunState.running)


def _text(word: DeliveryState | Reason) -> ColumnElement[str]:
    # SQLAlchemy infers no type from an enum.
    return literal(word, String())


def _by_state(outcomes: Iterable[Settled]) -> dict[DeliveryState, list[Settled]]:
    groups: dict[DeliveryState, list[Settled]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.state, []).append(outcome)
    return groups
