"""Moves deliveries between states: each arrow is one guarded update.

No module but this one and `worker_ledger` changes a state.

    pending --claim(token, lease)--> claimed --body is out, intent committed--> dotting --250--> sent
       ^  \\                            |  lease lapsed: pending again              |  4xx -> deferred -> pending
       |   skipped(reason) holdout     |  no longer allowed: skipped(reason)       |  5xx -> refused
       +----- at_least_once -----------+--------- unconfirmed <--- worker died or reply lost after the dot

Every arrow, by the function that takes it; those of a worker are in `worker_ledger`:

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

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from sqlalchemy import Update, case, exists, literal, or_, select, update

from mailshot import metrics, states
from mailshot.states import DeliveryState, Reason, RunState, Suspicion
from mailshot.store import conversions, dialect, engine, tables
from mailshot.store.dialect import Clause
from mailshot.store.eligibility import DELIVERY, ROW, RUN
from mailshot.store.engine import Connection

FEEDBACK = dialect.table(tables.Feedback)
D = DELIVERY.c
SEEN = "the customer has opened or clicked it"
IN_DOUBT = "the worker ended between the final dot and the reply"


def create_deliveries(connection: Connection, run_id: int, plan_id: str) -> None:
    """Create the rows of a run from those of its plan: pending, or left out with the plan's reason."""
    state = case(
        (ROW.c.reason.is_(None), dialect.text_literal(DeliveryState.pending)),
        (ROW.c.reason == Reason.holdout, dialect.text_literal(DeliveryState.holdout)),
        else_=dialect.text_literal(DeliveryState.skipped),
    )
    planned = select(
        literal(run_id), ROW.c.customer_id, state, ROW.c.content, ROW.c.reason, ROW.c.offers, literal(0)
    ).where(ROW.c.plan_id == plan_id)
    names = ["run_id", "customer_id", "state", "content", "reason", "offers", "attempts"]
    connection.execute(DELIVERY.insert().from_select(names, planned))


def revise(connection: Connection, customer_ids: Sequence[int]) -> None:
    """Raise the revision of all unsent mails to the inboxes of these customers, whose data has changed.

    A mail that was rendered for an earlier revision gets no dot: its row goes back, is checked and rendered again.
    """
    dialect.lock_customers(connection, customer_ids, alone=True, inbox=True)
    # An operator may send unconfirmed mails again.
    sendable = (*states.OPEN, DeliveryState.unconfirmed)
    unsettled = update(DELIVERY).where(D.customer_id.in_(dialect.sharing(customer_ids)), D.state.in_(sendable))
    connection.execute(unsettled.values(revision=D.revision + 1))


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
    unconfirmed = connection.execute(_lapsed(DeliveryState.dotting, now, ~again).values(**doubt)).rowcount
    for state, number in ((DeliveryState.pending, pending), (DeliveryState.unconfirmed, unconfirmed)):
        engine.after_commit(connection).append(partial(metrics.MAILS.add, number, metrics.OUTCOMES[state]))
    return pending, unconfirmed


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
