"""Owns every arrow between delivery states, each one guarded update; refuses to talk to a server.

    pending -> claimed -> dotting -> sent          docs/reliability.md draws the rest

`token` is the fence: a worker that lost its lease finds no row that still carries it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, case, exists, false, func, literal, not_, or_, select, update

from mailshot.events import DeliveryState, FeedbackClass, Reason, RunState, Suspicion
from mailshot.store import columns, conversions, sql, tables
from mailshot.store.eligibility import DELIVERY, RUN, SendGates
from mailshot.store.engine import Connection

LINK, FEEDBACK = sql.table(tables.Link), sql.table(tables.Feedback)
D = DELIVERY.c
UNSETTLED_RUNS = [str(state) for state in (RunState.running, RunState.paused, RunState.cancelled)]
SEEN = "the customer has opened or clicked it"
IN_DOUBT = "the worker ended between the final dot and the reply"
WAITING = (str(DeliveryState.pending), str(DeliveryState.deferred))
OPEN = (DeliveryState.pending, DeliveryState.claimed, DeliveryState.dotting, DeliveryState.deferred)
FROM = {
    DeliveryState.sent: (DeliveryState.dotting, DeliveryState.unconfirmed),
    DeliveryState.unconfirmed: (DeliveryState.dotting,),
    DeliveryState.refused: (DeliveryState.claimed, DeliveryState.dotting),
    DeliveryState.deferred: (DeliveryState.claimed, DeliveryState.dotting),
    DeliveryState.pending: (DeliveryState.claimed, DeliveryState.dotting),
    DeliveryState.skipped: (DeliveryState.claimed,),
}


@dataclass(frozen=True, slots=True)
class Claimed:
    """A row a worker holds. `revision` counts what its customer has said since the launch (see `revise`)."""

    customer_id: int
    content: str
    offers: list[list[int]]
    attempts: int
    revision: int = 0
    suspicion: int = Suspicion.none


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a row a worker held. `state` is where it goes; `reason` or `reply` says why.

    `no_mailbox` is the address that the server says does not exist, None otherwise.
    """

    customer_id: int
    state: DeliveryState
    reply: str | None = None
    reason: str | None = None
    next_attempt_at: datetime | None = None
    no_mailbox: str | None = None


def claim(connection: Connection, run_id: int, token: int, now: datetime, until: datetime, most: int) -> list[Claimed]:
    """Take up to `most` due rows of a running run under `token` until the lease ends."""
    taken: list[Claimed] = []
    for due in (D.state == str(DeliveryState.pending), _deferred(now)):
        if len(taken) < most:
            taken += _take(connection, run_id, due, most - len(taken), token=token, lease_until=until)
    return taken


def _take(connection: Connection, run_id: int, due: Any, most: int, **held: Any) -> list[Claimed]:
    # One state at a time and in the index's order, so that a claim reads only what it takes. A CTE is worked out once.
    some = select(D.customer_id).where(D.run_id == run_id, due, _running(run_id)).order_by(D.customer_id)
    chosen = some.limit(most).with_for_update(skip_locked=True, of=DELIVERY).cte("chosen")
    taken = (
        update(DELIVERY)
        .where(D.run_id == run_id, D.customer_id.in_(select(chosen.c.customer_id)), due)
        .values(state=str(DeliveryState.claimed), attempts=D.attempts + 1, **held)
        .returning(D.customer_id, D.content, D.offers, D.attempts, D.revision, D.suspicion)
    )
    rows = connection.execute(taken).all()
    return [Claimed(int(row[0]), str(row[1]), row[2] or [], *(int(number) for number in row[3:])) for row in rows]


def suspect(connection: Connection, run_id: int, token: int, customer_id: int, suspicion: Suspicion) -> bool:
    """Note, before and after a suspected mail is written, what is thought of it; say whether the row is still ours."""
    ours = update(DELIVERY).where(D.run_id == run_id, D.customer_id == customer_id, D.token == token)
    held = ours.where(D.state == str(DeliveryState.claimed))
    return connection.execute(held.values(suspicion=int(suspicion))).rowcount == 1


def revise(connection: Connection, customer_ids: Sequence[int]) -> None:
    """Note that what was written, or is to be written, to these inboxes no longer fits what their customers say.

    A letter that was written before loses its intent: the row goes back, is judged and written again.
    """
    sql.hold(connection, customer_ids, alone=True, inbox=True)
    # What is in doubt may be sent once more.
    states = (*OPEN, DeliveryState.unconfirmed)
    unsent = update(DELIVERY).where(D.customer_id.in_(sql.sharing(customer_ids)), D.state.in_(states))
    connection.execute(unsent.values(revision=D.revision + 1))


def intend(
    connection: Connection, run_id: int, token: int, written: Mapping[int, int], now: datetime, gates: SendGates
) -> set[int]:
    """Commit the intent to release the dot, where the row is still ours and the customer may still be mailed.

    This one statement is the intent, the fence against workers that lost their lease, and the last look at all that
    may forbid the mail. `written` maps each customer to the revision that the letter was written for. Returns the
    customers whose dot may be released once the transaction is committed.
    """
    customer_ids = sorted(written)
    # Where earlier mails are counted, no other run may send to the same inbox meanwhile.
    counts = gates.gates.counts
    sql.hold(connection, customer_ids, alone=counts, inbox=counts)
    allowed = (
        update(DELIVERY)
        .where(D.run_id == run_id, D.customer_id.in_(customer_ids), D.token == token)
        .where(D.state == str(DeliveryState.claimed), _running(run_id), not_(_outdated(written)))
        .where(*(not_(forbidden) for forbidden, _ in gates.reasons()))
        .values(state=str(DeliveryState.dotting), dotted_at=now)
        .returning(D.customer_id)
    )
    return {int(row[0]) for row in connection.execute(allowed)}


def _outdated(written: Mapping[int, int]) -> ColumnElement[bool]:
    """A row whose customer has said something since its letter was written."""
    by_revision: dict[int, list[int]] = {}
    for customer_id, revision in written.items():
        by_revision.setdefault(revision, []).append(customer_id)
    if len(by_revision) == 1:
        return D.revision != next(iter(by_revision))
    return or_(false(), *(and_(D.revision != number, D.customer_id.in_(some)) for number, some in by_revision.items()))


def decline(
    connection: Connection, run_id: int, token: int, written: Mapping[int, int], now: datetime, gates: SendGates
) -> None:
    """Put rows that were not allowed where they belong: skipped with the reason, or back to be written again."""
    running, reasons = _running(run_id), gates.reasons()
    forbidden = or_(*(clause for clause, _ in reasons))
    state = case((forbidden, literal(str(DeliveryState.skipped))), else_=literal(str(DeliveryState.pending)))
    reason = case(*((clause, literal(str(why))) for clause, why in reasons), else_=None)
    settled_at = case((forbidden, literal(now, columns.Instant())), else_=None)
    ours = update(DELIVERY).where(D.run_id == run_id, D.customer_id.in_(sorted(written)), D.token == token)
    back_again = or_(not_(running), _outdated(written), forbidden)
    held = ours.where(D.state == str(DeliveryState.claimed), back_again)
    back = {"token": None, "lease_until": None, "attempts": D.attempts - 1, "settled_at": settled_at}
    connection.execute(held.values(state=state, reason=reason, **back))


def settle(connection: Connection, run_id: int, token: int, outcomes: Iterable[Settled], now: datetime) -> int:
    """Write what became of rows; each only where it is still ours and an arrow leads there. Returns how many moved."""
    moved = 0
    for state, group in _by_state(outcomes).items():
        change = (
            update(DELIVERY)
            .where(D.run_id == run_id, D.customer_id == bindparam("who"), D.token == token)
            .where(or_(*(D.state == str(before) for before in FROM[state])))
            .values(
                state=str(state),
                reply=bindparam("said"),
                reason=bindparam("why"),
                next_attempt_at=bindparam("again"),
                settled_at=None if state in OPEN else now,
                lease_until=None,
                # An unconfirmed or sent row keeps its token, so that late news of the same worker still finds it.
                **({"token": None} if state in OPEN else {}),
                **({"attempts": D.attempts - 1} if state is DeliveryState.pending else {}),
            )
        )
        rows = [
            {"who": item.customer_id, "said": item.reply, "why": item.reason, "again": item.next_attempt_at}
            for item in group
        ]
        moved += connection.execute(change, rows).rowcount
    return moved


def keep_links(connection: Connection, links: Iterable[tuple[int, str]]) -> None:
    """Keep links, each once, so that a click finds where to go."""
    # In one order everywhere: two workers that keep the same links must not wait for each other.
    rows = [{"id": number, "url": url} for number, url in sorted(links)]
    if rows:
        connection.execute(sql.insert(connection, LINK).on_conflict_do_nothing(), rows)


def renew(connection: Connection, run_id: int, token: int, until: datetime) -> int:
    """Prolong the lease of all rows held under `token`; return how many there are."""
    held = (str(DeliveryState.claimed), str(DeliveryState.dotting))
    mine = update(DELIVERY).where(D.run_id == run_id, D.token == token, D.state.in_(held))
    return connection.execute(mine.values(lease_until=until)).rowcount


def release(connection: Connection, run_id: int, token: int) -> int:
    """Give back every row that is claimed under `token` and was not offered; return how many."""
    mine = update(DELIVERY).where(D.run_id == run_id, D.token == token, D.state == str(DeliveryState.claimed))
    back = {"state": str(DeliveryState.pending), "token": None, "lease_until": None, "attempts": D.attempts - 1}
    return connection.execute(mine.values(**back)).rowcount


def recover(connection: Connection, now: datetime) -> tuple[int, int]:
    """Take rows from workers whose lease lapsed; return how many are tried again and how many are unconfirmed.

    Before the dot nothing left us, so the row is pending again. After the intent it may have left: at most once shows
    the row as unconfirmed, at least once sends the same bytes again. A mail that was read meanwhile has arrived.
    """
    arrived = {"state": str(DeliveryState.sent), "settled_at": now, "lease_until": None, "reply": SEEN}
    connection.execute(_lapsed(DeliveryState.dotting, now).where(_was_read()).values(**arrived))
    back = {"state": str(DeliveryState.pending), "token": None, "lease_until": None}
    doubt = {"state": str(DeliveryState.unconfirmed), "settled_at": now, "lease_until": None, "reply": IN_DOUBT}
    again = RUN.c.at_least_once.is_(True)
    # Of all that the worker held, only the mail that it was writing can have ended it.
    suspicion = case(
        (D.suspicion >= int(Suspicion.writing_again), literal(int(Suspicion.proven))),
        (D.suspicion >= int(Suspicion.writing), literal(int(Suspicion.held_again))),
        else_=literal(int(Suspicion.held)),
    )
    pending = connection.execute(_lapsed(DeliveryState.claimed, now).values(suspicion=suspicion, **back)).rowcount
    pending += connection.execute(_lapsed(DeliveryState.dotting, now, again).values(**back)).rowcount
    return pending, connection.execute(_lapsed(DeliveryState.dotting, now, ~again).values(**doubt)).rowcount


def _was_read() -> Any:
    by_people = (str(FeedbackClass.human), str(FeedbackClass.proxy))
    return exists().where(
        FEEDBACK.c.customer_id == D.customer_id, FEEDBACK.c.run_id == D.run_id, FEEDBACK.c.by.in_(by_people)
    )


def _lapsed(state: DeliveryState, now: datetime, *which: Any) -> Any:
    # Only runs that are not over can hold such rows; naming them keeps this from reading all that was ever sent.
    alive = select(RUN.c.id).where(RUN.c.state.in_(UNSETTLED_RUNS), *which)
    return update(DELIVERY).where(D.run_id.in_(alive), D.state == str(state), D.lease_until < now)


def owed(connection: Connection, now: datetime) -> list[tuple[int, int]]:
    """Return each running run that has due rows, with the number of workers that hold live claims on it."""
    due = exists().where(D.run_id == RUN.c.id, _due(now))
    alive = (
        select(func.count(D.token.distinct()))
        .where(D.run_id == RUN.c.id, D.state.in_([str(DeliveryState.claimed), str(DeliveryState.dotting)]))
        .where(D.lease_until >= now)
        .scalar_subquery()
    )
    runs = select(RUN.c.id, alive).where(RUN.c.state == str(RunState.running), due).order_by(RUN.c.id)
    return [(int(row[0]), int(row[1])) for row in connection.execute(runs)]


def is_due(connection: Connection, run_id: int, now: datetime) -> bool:
    """Say whether a run has rows that can be sent now."""
    return connection.execute(select(D.run_id).where(D.run_id == run_id, _due(now)).limit(1)).first() is not None


def finish(connection: Connection, now: datetime) -> list[int]:
    """Finish the running runs whose every row is settled, skip what cancelled runs got back; return the finished."""
    cancelled = select(RUN.c.id).where(RUN.c.state == str(RunState.cancelled))
    _skip_waiting(connection, D.run_id.in_(cancelled), now)
    unsettled = exists().where(D.run_id == RUN.c.id, D.state.in_([str(state) for state in OPEN]))
    done = update(RUN).where(RUN.c.state == str(RunState.running), ~unsettled).returning(RUN.c.id)
    finished = connection.execute(done.values(state=str(RunState.finished), finished_at=now))
    ended = [int(row[0]) for row in finished]
    for run_id in ended:
        conversions.mark_sent(connection, run_id)
    return ended


def is_unsettled(connection: Connection, now: datetime) -> bool:
    """Say whether `recover` or `finish` would change anything, by reading alone."""
    alive = select(RUN.c.id).where(RUN.c.state.in_(UNSETTLED_RUNS))
    held = D.state.in_([str(DeliveryState.claimed), str(DeliveryState.dotting)])
    lapsed = exists().where(D.run_id.in_(alive), held, D.lease_until < now)
    open_row = exists().where(D.run_id == RUN.c.id, D.state.in_([str(state) for state in OPEN]))
    waiting = exists().where(D.run_id == RUN.c.id, D.state.in_(WAITING))
    over = exists().where(
        or_(
            and_(RUN.c.state == str(RunState.running), ~open_row),
            and_(RUN.c.state == str(RunState.cancelled), waiting),
        )
    )
    return bool(connection.scalar(select(or_(lapsed, over))))


def abandon(connection: Connection, run_id: int, now: datetime) -> int:
    """Skip every row of a cancelled run that no worker holds; return how many."""
    conversions.mark_sent(connection, run_id)
    return _skip_waiting(connection, D.run_id == run_id, now)


def _skip_waiting(connection: Connection, which: Any, now: datetime) -> int:
    gone = {"state": str(DeliveryState.skipped), "reason": str(Reason.cancelled), "settled_at": now}
    return connection.execute(update(DELIVERY).where(which, D.state.in_(WAITING)).values(**gone)).rowcount


def resolve(connection: Connection, run_id: int, resend: bool, now: datetime) -> int:
    """Settle the unconfirmed rows of a run by hand: send them again, or accept them as sent. Returns how many."""
    mine = update(DELIVERY).where(D.run_id == run_id, D.state == str(DeliveryState.unconfirmed))
    if resend:
        changed = mine.values(state=str(DeliveryState.pending), token=None, settled_at=None)
        connection.execute(
            update(RUN)
            .where(RUN.c.id == run_id, RUN.c.state == str(RunState.finished))
            .values(state=str(RunState.running), finished_at=None)
        )
    else:
        changed = mine.values(state=str(DeliveryState.sent), settled_at=now, reply="accepted by hand")
        conversions.mark_sent(connection, run_id)
    return connection.execute(changed).rowcount


def counts(connection: Connection, run_id: int) -> dict[str, int]:
    """Count the rows of a run by state."""
    grouped = select(D.state, func.count()).where(D.run_id == run_id).group_by(D.state)
    return {str(row[0]): int(row[1]) for row in connection.execute(grouped)}


def under_way(counts: Mapping[str, int]) -> int:
    """Return how many rows a worker holds, of the rows of a run counted by state."""
    return sum(counts.get(state, 0) for state in (DeliveryState.claimed, DeliveryState.dotting))


def _deferred(now: datetime) -> Any:
    return and_(D.state == str(DeliveryState.deferred), D.next_attempt_at <= now)


def _due(now: datetime) -> Any:
    return or_(D.state == str(DeliveryState.pending), _deferred(now))


def _running(run_id: int) -> Any:
    return exists().where(RUN.c.id == run_id, RUN.c.state == str(RunState.running))


def _by_state(outcomes: Iterable[Settled]) -> dict[DeliveryState, list[Settled]]:
    groups: dict[DeliveryState, list[Settled]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.state, []).append(outcome)
    return groups
