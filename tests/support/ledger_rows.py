"""Creates and moves ledger rows for tests, as a worker would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from mailshot.states import DeliveryState
from mailshot.store import dialect, runs, tables, worker_ledger
from mailshot.store.eligibility import Gates
from mailshot.store.engine import Store
from mailshot.store.runs import NewRun, RunRecord
from mailshot.store.worker_ledger import DotRequest, Settled
from tests.support import project
from tests.support.project import Shop

NOW = project.NOW
LEASE = timedelta(seconds=30)
DELIVERY = dialect.table(tables.Delivery)
PLANS = count(1)
GATES = Gates(project.TOPIC, needs_consent=True)


def customers(store: Store, number: int) -> list[int]:
    """Insert customers of their own kind and return their ids."""
    first = 1_000_000 + next(PLANS) * 1_000
    return Shop(store, Path()).add(project.people(number, first=first))


def begin(store: Store, who: list[int], at_least_once: bool = False, plan: str = "") -> int:
    """Begin a run with a pending delivery for each customer."""
    plan = plan or f"plan{next(PLANS)}"
    planned = [{"plan_id": plan, "customer_id": number, "content": "hello"} for number in who]
    run = NewRun(
        campaign=plan, topic=project.TOPIC, definition="none", plan_id=plan, as_of=NOW, launched_at=NOW,
        at_least_once=at_least_once,
    )  # fmt: skip
    with store.write() as connection:
        connection.execute(dialect.table(tables.PlanRow).insert(), planned)
        return runs.begin(connection, run)


def head(store: Store, run_id: int) -> RunRecord:
    with store.read() as connection:
        run = runs.find_run(connection, run_id)
    assert run is not None
    return run


def rows(store: Store, run_id: int) -> dict[int, Any]:
    with store.read() as connection:
        deliveries = connection.execute(DELIVERY.select().where(DELIVERY.c.run_id == run_id)).mappings().all()
    return {row["customer_id"]: row for row in deliveries}


def states(store: Store, run_id: int) -> dict[int, str]:
    return {who: row["state"] for who, row in rows(store, run_id).items()}


def claim(store: Store, run_id: int, token: int, now: datetime = NOW, most: int = 10) -> list[int]:
    with store.write() as connection:
        return [row.customer_id for row in worker_ledger.claim(connection, run_id, token, now, now + LEASE, most)]


def commit_intent(
    store: Store, run_id: int, token: int, who: list[int], now: datetime = NOW, gates: Gates = GATES
) -> set[int]:
    """Ask for dots as a worker does; rows that are not allowed are skipped or pending again."""
    request = DotRequest(run_id, token, dict.fromkeys(who, 0), gates, now, now)
    with store.write() as connection:
        allowed = worker_ledger.commit_intent(connection, request)
        denied = {customer_id: 0 for customer_id in who if customer_id not in allowed}
        worker_ledger.skip_disallowed(connection, replace(request, written=denied))
    return allowed


def settle(store: Store, run_id: int, token: int, who: int, state: DeliveryState, again: datetime | None = None) -> int:
    with store.write() as connection:
        return worker_ledger.record_outcomes(
            connection, run_id, token, [Settled(who, state, "said", next_attempt_at=again)], NOW
        )


def apply(store: Store, verb: Callable[..., Any], *arguments: Any) -> Any:
    with store.write() as connection:
        return verb(connection, *arguments)
