"""The arrows of the ledger that a worker takes, many times a second; see `ledger` for all of them.

Their statements are compiled once and take all rows of a round in one parameter.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, lru_cache, partial
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    String,
    Update,
    bindparam,
    case,
    exists,
    not_,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.types import TypeEngine

from mailshot import metrics, states
from mailshot.audience.compile import in_parameter
from mailshot.states import DeliveryState, RunState, Suspicion
from mailshot.store import dialect, eligibility_gates, engine, ledger_queries
from mailshot.store.column_types import Instant
from mailshot.store.compiled import CompiledStatement
from mailshot.store.dialect import Clause
from mailshot.store.eligibility import DELIVERY, RUN, Gates
from mailshot.store.engine import Connection
from mailshot.store.send_gates import SendGates

D = DELIVERY.c
RUN_ID, TOKEN = bindparam("run", type_=BigInteger()), bindparam("held_by", type_=BigInteger())
NOW = bindparam("now", type_=Instant())
#: Campaigns' gates whose statements a process keeps.
MAX_GATES = 64
#: The reports of a round as rows, from one parameter: a JSON list of [customer, reply, reason, next attempt,
#: relay].
_REPORTS = {
    "sqlite": "SELECT json_extract(value, '$[0]') AS customer_id, json_extract(value, '$[1]') AS reply,"
    " json_extract(value, '$[2]') AS reason, json_extract(value, '$[3]') AS next_attempt_at,"
    " json_extract(value, '$[4]') AS relay FROM json_each(:reports)",
    "postgresql": "SELECT (value->>0)::bigint AS customer_id, value->>1 AS reply, value->>2 AS reason,"
    " (value->>3)::timestamptz AS next_attempt_at, value->>4 AS relay"
    " FROM json_array_elements(CAST(:reports AS json)) AS report(value)",
}
#: The relay of a row's intent, from one parameter: a JSON object of customer and relay.
_RELAYS = {
    "sqlite": "json_extract(:relays, '$.\"' || delivery.customer_id || '\"')",
    "postgresql": "CAST(:relays AS json)->>CAST(delivery.customer_id AS text)",
}


@dataclass(frozen=True, slots=True)
class Claimed:
    """A row that a worker holds."""

    customer_id: int
    content: str
    #: Pairs of product id and how often the customer bought it.
    offers: list[list[int]]
    attempts: int
    #: How often the customer's data changed since the launch (see `ledger.revise`).
    revision: int = 0
    suspicion: int = Suspicion.none
    #: The only relay that may send it, because it may have sent it before; None for any.
    relay: str | None = None


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
    #: Of a row that is to be sent again: the relay that alone may do it, because it may have sent it; None for any.
    relay: str | None = None


def claim(
    connection: Connection,
    run_id: int,
    token: int,
    now: datetime,
    until: datetime,
    most: int,
    relays: Collection[str] | None = None,
) -> list[Claimed]:
    """Claim up to `most` due rows of a running run under `token`, with a lease `until` then.

    `relays`: those that work now; rows that only another one may send are left. None: the run has no relays.
    """
    taken: list[Claimed] = []
    for due in ledger_queries.due_clauses(now, relays):
        if len(taken) < most:
            taken += _take(connection, run_id, due, token, until, most - len(taken))
    return taken


def _take(connection: Connection, run_id: int, due: Clause, token: int, until: datetime, most: int) -> list[Claimed]:
    # One state at a time and in the order of the index, so that a claim reads only what it takes.
    due_rows = select(D.customer_id).where(D.run_id == run_id, due, _is_running(run_id)).order_by(D.customer_id)
    chosen = due_rows.limit(most).with_for_update(skip_locked=True, of=DELIVERY).cte("chosen")
    taken = (
        update(DELIVERY)
        .where(D.run_id == run_id, D.customer_id.in_(select(chosen.c.customer_id)), due)
        .values(state=DeliveryState.claimed, attempts=D.attempts + 1, token=token, lease_until=until)
        .returning(D.customer_id, D.content, D.offers, D.attempts, D.revision, D.suspicion, D.relay)
    )
    rows = connection.execute(taken).all()
    return [
        Claimed(int(row[0]), str(row[1]), row[2] or [], int(row[3]), int(row[4]), int(row[5]), row[6]) for row in rows
    ]


def set_suspicion(connection: Connection, run_id: int, token: int, customer_id: int, suspicion: Suspicion) -> bool:
    """Set the suspicion of a row before and after its mail is rendered; return whether the worker still holds it."""
    ours = update(DELIVERY).where(D.run_id == run_id, D.customer_id == customer_id, D.token == token)
    held = ours.where(D.state == DeliveryState.claimed)
    return connection.execute(held.values(suspicion=int(suspicion))).rowcount == 1


@dataclass(frozen=True, slots=True)
class DotRequest:
    """The rows of one run whose worker asks whether it may send their dots."""

    run_id: int
    token: int
    #: By customer: the revision that the mail was rendered for.
    written: Mapping[int, int]
    gates: Gates
    now: datetime
    #: `now` on the calendar of the run (see `sent_mail`).
    as_of: datetime
    #: By customer: the relay; empty for MAILSHOT_SMTP.
    relays: Mapping[int, str] = field(default_factory=dict)

    def parameters(self) -> dict[str, Any]:
        written = [f"{customer_id}:{revision}" for customer_id, revision in self.written.items()]
        values = {"held_by": self.token, "now": self.now, "customers": sorted(self.written), "written": written}
        if self.relays:
            values["relays"] = json.dumps(self.relays)
        return values | SendGates(self.gates).parameters(self.run_id, self.as_of)


def commit_intent(connection: Connection, request: DotRequest) -> set[int]:
    """Record the intent to release the dot, where the worker still holds the row and the customer may be mailed.

    This one statement is the intent, the fence against workers that lost their lease, and the final check of all
    gates. Returns the customers whose dot may be released once the transaction is committed.
    """
    # Where earlier mails are counted, no other run, of any campaign, may send to the same inbox meanwhile.
    counts = request.gates.counts
    dialect.lock_customers(connection, sorted(request.written), alone=counts, inbox=counts)
    statement = _intent(request.gates, connection.dialect.name if request.relays else "")
    return {int(row[0]) for row in statement.execute(connection, request.parameters())}


@lru_cache(MAX_GATES)
def _intent(gates: Gates, relays_in: str) -> CompiledStatement:
    """Return the statement; `relays_in`: the database, where relays are recorded, else ""."""
    relay = {"relay": text(_RELAYS[relays_in])} if relays_in else {}
    allowed = (
        _held_rows()
        .where(_is_running(), not_(_outdated()))
        .where(*(not_(forbidden) for forbidden, _ in eligibility_gates.at_dot(SendGates(gates))))
        .values(state=DeliveryState.dotting, dotted_at=NOW, **relay)
        .returning(D.customer_id)
    )
    return CompiledStatement(allowed)


def skip_disallowed(connection: Connection, request: DotRequest) -> None:
    """Skip rows that `commit_intent` did not allow, with the reason.

    Those that are only outdated, or whose run is no longer running, are pending again.
    """
    number = _skipped(request.gates).execute(connection, request.parameters()).rowcount
    engine.after_commit(connection).append(partial(metrics.MAILS.add, number, metrics.DENIED))


@lru_cache(MAX_GATES)
def _skipped(gates: Gates) -> CompiledStatement:
    reasons = eligibility_gates.at_dot(SendGates(gates))
    forbidden = or_(*(clause for clause, _ in reasons))
    skipped, pending = (dialect.text_literal(word) for word in (DeliveryState.skipped, DeliveryState.pending))
    state = case((forbidden, skipped), else_=pending)
    reason = case(*((clause, dialect.text_literal(why)) for clause, why in reasons), else_=None)
    back = {"token": None, "lease_until": None, "attempts": D.attempts - 1}
    settled_at = case((forbidden, NOW), else_=None)
    return CompiledStatement(_held_rows().values(state=state, reason=reason, settled_at=settled_at, **back))


def _held_rows() -> Update:
    """Return an update of the rows of a request that the worker still holds."""
    mine = (D.run_id == RUN_ID, in_parameter(D.customer_id, "customers"), D.token == TOKEN)
    return update(DELIVERY).where(*mine, D.state == DeliveryState.claimed)


def _outdated() -> Clause:
    """Return the clause that a customer's data has changed since the mail was rendered."""
    as_written = D.customer_id.cast(String()) + ":" + D.revision.cast(String())
    return not_(in_parameter(as_written, "written"))


def record_outcomes(connection: Connection, run_id: int, token: int, outcomes: Iterable[Settled], now: datetime) -> int:
    """Record a worker's reports, each where it still holds the row and an arrow leads there. Returns how many moved."""
    moved = 0
    for state, group in _by_state(outcomes).items():
        to_database = Instant().process_bind_param
        reports = [
            (
                item.customer_id,
                item.reply,
                item.reason,
                to_database(item.next_attempt_at, connection.dialect),
                item.relay,
            )
            for item in group
        ]
        parameters = {"run": run_id, "held_by": token, "now": now, "reports": json.dumps(reports, default=str)}
        number = _recorded(state, connection.dialect.name).execute(connection, parameters).rowcount
        engine.after_commit(connection).append(partial(metrics.MAILS.add, number, metrics.OUTCOMES[state]))
        moved += number
    return moved


@cache
def _recorded(state: DeliveryState, database: str) -> CompiledStatement:
    columns: dict[str, TypeEngine[Any]] = {
        "customer_id": BigInteger(),
        "reply": String(),
        "reason": String(),
        "next_attempt_at": Instant(),
        "relay": String(),
    }
    report = text(_REPORTS[database]).columns(**columns).subquery("report")
    change = (
        update(DELIVERY)
        .where(D.run_id == RUN_ID, D.customer_id == report.c.customer_id, D.token == TOKEN)
        .where(dialect.is_one_of(D.state, states.REPORTED_FROM[state]))
        .values(
            state=state,
            reply=report.c.reply,
            reason=report.c.reason,
            next_attempt_at=report.c.next_attempt_at,
            settled_at=None if state in states.OPEN else NOW,
            lease_until=None,
            # An unconfirmed or sent row keeps its token, so that a late report of the same worker still matches it.
            **({"token": None, "relay": report.c.relay} if state in states.OPEN else {}),
            **({"attempts": D.attempts - 1} if state is DeliveryState.pending else {}),
        )
    )
    return CompiledStatement(change)


def renew(connection: Connection, run_id: int, token: int, until: datetime) -> int:
    """Extend the lease of all rows held under `token`; return how many there are."""
    mine = update(DELIVERY).where(D.run_id == run_id, D.token == token, D.state.in_(states.HELD))
    return connection.execute(mine.values(lease_until=until)).rowcount


def unclaim(connection: Connection, run_id: int, token: int) -> int:
    """Give back every row that is claimed under `token` and whose mail was not sent; return how many."""
    mine = update(DELIVERY).where(D.run_id == run_id, D.token == token, D.state == DeliveryState.claimed)
    back = {"state": DeliveryState.pending, "token": None, "lease_until": None, "attempts": D.attempts - 1}
    # The worker is alive, so the mail that it was rendering has not crashed it.
    suspicion = case(
        (D.suspicion == int(Suspicion.rendering), int(Suspicion.held)),
        (D.suspicion == int(Suspicion.writing_again), int(Suspicion.suspected_again)),
        else_=D.suspicion,
    )
    return connection.execute(mine.values(suspicion=suspicion, **back)).rowcount


def _is_running(run_id: int | ColumnElement[int] = RUN_ID) -> Clause:
    return exists().where(RUN.c.id == run_id, RUN.c.state == RunState.running)


def _by_state(outcomes: Iterable[Settled]) -> dict[DeliveryState, list[Settled]]:
    groups: dict[DeliveryState, list[Settled]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.state, []).append(outcome)
    return groups
