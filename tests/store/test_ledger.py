"""The arrows of the ledger: each one, and any order of them that several workers and a clock could bring about."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import event

from mailshot.deliver.rounds import Rounds
from mailshot.errors import Refused
from mailshot.events import DeliveryState, RunState
from mailshot.store import consent, ledger, runs, sql, suppression, tables
from mailshot.store.engine import Store
from mailshot.store.ledger import Settled
from tests import project
from tests.project import Shop

NOW = project.NOW
LEASE = timedelta(seconds=30)
DELIVERY = sql.table(tables.Delivery)
PLANS = count(1)
S = DeliveryState
ARROWS: dict[str, set[DeliveryState]] = {
    S.pending: {S.claimed, S.skipped},
    S.claimed: {S.dotting, S.pending, S.deferred, S.refused, S.skipped},
    S.dotting: {S.sent, S.deferred, S.refused, S.unconfirmed, S.pending},
    S.deferred: {S.claimed, S.skipped},
    S.unconfirmed: {S.sent},
}


def customers(store: Store, number: int) -> list[int]:
    """Insert customers of their own kind and return their ids."""
    first = 1_000_000 + next(PLANS) * 1_000
    return Shop(store, Path()).add(project.people(number, first=first))


def begin(store: Store, who: list[int], at_least_once: bool = False, plan: str = "") -> int:
    """Begin a run with a pending delivery for each customer."""
    plan = plan or f"plan{next(PLANS)}"
    planned = [{"plan_id": plan, "customer_id": number, "content": "hello"} for number in who]
    head = {
        "campaign": plan, "topic": project.TOPIC, "definition": "none", "at_least_once": at_least_once,
        "state": "running", "as_of": NOW, "plan_id": plan, "launched_at": NOW,
    }  # fmt: skip
    with store.write() as connection:
        connection.execute(sql.table(tables.PlanRow).insert(), planned)
        return runs.begin(connection, head)


def rows(store: Store, run_id: int) -> dict[int, Any]:
    with store.read() as connection:
        found = connection.execute(DELIVERY.select().where(DELIVERY.c.run_id == run_id)).mappings().all()
    return {row["customer_id"]: row for row in found}


def states(store: Store, run_id: int) -> dict[int, str]:
    return {who: row["state"] for who, row in rows(store, run_id).items()}


def claim(store: Store, run_id: int, token: int, now: datetime = NOW, most: int = 10) -> list[int]:
    with store.write() as connection:
        return [row.customer_id for row in ledger.claim(connection, run_id, token, now, now + LEASE, most)]


def intend(store: Store, run_id: int, token: int, who: list[int], now: datetime = NOW) -> set[int]:
    """Ask for dots as a worker does: what is not allowed is put where it belongs."""
    with store.write() as connection:
        allowed = ledger.intend(connection, run_id, token, who, now)
        ledger.decline(connection, run_id, token, [one for one in who if one not in allowed], now)
    return allowed


def settle(store: Store, run_id: int, token: int, who: int, state: DeliveryState, again: datetime | None = None) -> int:
    with store.write() as connection:
        return ledger.settle(connection, run_id, token, [Settled(who, state, "said", next_attempt_at=again)], NOW)


def apply(store: Store, verb: Callable[..., Any], *given: Any) -> Any:
    with store.write() as connection:
        return verb(connection, *given)


def test_a_mail_on_its_way(store: Store) -> None:
    ann, *_ = customers(store, 1)
    run_id = begin(store, [ann])
    assert claim(store, run_id, 7) == [ann]
    assert intend(store, run_id, 7, [ann]) == {ann}
    assert states(store, run_id) == {ann: "dotting"}
    assert settle(store, run_id, 7, ann, S.sent) == 1
    row = rows(store, run_id)[ann]
    assert (row["state"], row["reply"], row["settled_at"], row["attempts"]) == ("sent", "said", NOW, 1)
    assert apply(store, ledger.finish, NOW) == [run_id]


def test_a_deferred_row_waits_for_its_moment(store: Store) -> None:
    ann, *_ = customers(store, 1)
    run_id = begin(store, [ann])
    claim(store, run_id, 7)
    later = NOW + timedelta(minutes=5)
    settle(store, run_id, 7, ann, S.deferred, later)
    assert claim(store, run_id, 8) == []
    assert not apply(store, ledger.is_due, run_id, NOW)
    assert claim(store, run_id, 8, later) == [ann]
    assert rows(store, run_id)[ann]["attempts"] == 2


def test_fresh_rows_come_before_deferred_ones_and_no_more_than_asked(store: Store) -> None:
    who = customers(store, 5)
    run_id = begin(store, who)
    for one in claim(store, run_id, 7, most=2):
        settle(store, run_id, 7, one, S.deferred, NOW)
    assert sorted(claim(store, run_id, 8, most=4)) == [who[0], *who[2:]]


@pytest.mark.parametrize("state", [S.sent, S.refused, S.deferred, S.pending, S.skipped, S.unconfirmed])
def test_nothing_leads_out_of_a_settled_row(store: Store, state: DeliveryState) -> None:
    ann, bob = customers(store, 2)
    run_id = begin(store, [ann, bob])
    claim(store, run_id, 7)
    intend(store, run_id, 7, [ann, bob])
    settle(store, run_id, 7, ann, S.sent)
    settle(store, run_id, 7, bob, S.refused)
    assert settle(store, run_id, 7, ann, state) + settle(store, run_id, 7, bob, state) == 0
    assert states(store, run_id) == {ann: "sent", bob: "refused"}


@pytest.mark.parametrize(("at_least_once", "after"), [(False, "unconfirmed"), (True, "pending")])
def test_a_lapsed_lease(store: Store, at_least_once: bool, after: str) -> None:
    ann, bob = customers(store, 2)
    run_id = begin(store, [ann, bob], at_least_once)
    claim(store, run_id, 7)
    intend(store, run_id, 7, [ann])
    assert apply(store, ledger.recover, NOW + LEASE) == (0, 0)
    assert apply(store, ledger.recover, NOW + LEASE * 2) == ((2, 0) if at_least_once else (1, 1))
    assert states(store, run_id) == {ann: after, bob: "pending"}
    assert intend(store, run_id, 7, [bob]) == set(), "a worker without a lease gets no dot"


def test_late_news_settles_what_was_in_doubt(store: Store) -> None:
    ann, *_ = customers(store, 1)
    run_id = begin(store, [ann])
    claim(store, run_id, 7)
    intend(store, run_id, 7, [ann])
    apply(store, ledger.recover, NOW + LEASE * 2)
    assert settle(store, run_id, 8, ann, S.sent) == 0, "another worker knows nothing of it"
    assert settle(store, run_id, 7, ann, S.sent) == 1


def test_renewing_keeps_a_lease(store: Store) -> None:
    ann, bob = customers(store, 2)
    run_id = begin(store, [ann, bob])
    claim(store, run_id, 7, most=1)
    assert apply(store, ledger.renew, run_id, 7, NOW + LEASE * 3) == 1
    assert apply(store, ledger.recover, NOW + LEASE * 2) == (0, 0)


def test_a_withdrawal_and_a_suppression_and_an_erasure_stop_the_dot(store: Store) -> None:
    ann, bob, cid, dan = who = customers(store, 4)
    run_id = begin(store, who)
    claim(store, run_id, 7)
    with store.write() as connection:
        consent.record(connection, ann, project.TOPIC, False, NOW + LEASE, "test")
        people = sql.table(tables.Customer)
        hashed = connection.scalar(people.select().with_only_columns(people.c.address_hash).where(people.c.id == bob))
        suppression.add(connection, str(hashed), "complained", "test", NOW)
        connection.execute(people.update().where(people.c.id == cid).values(email=None))
    assert intend(store, run_id, 7, who) == {dan}
    found = rows(store, run_id)
    assert [found[one]["reason"] for one in who] == ["no consent", "suppressed", "no address", None]
    assert all(found[one]["settled_at"] == NOW for one in who[:3])
    assert [found[one]["attempts"] for one in who] == [0, 0, 0, 1]


def test_a_pause_gives_back_and_a_cancel_gives_up(store: Store) -> None:
    ann, bob = customers(store, 2)
    run_id = begin(store, [ann, bob])
    claim(store, run_id, 7, most=1)
    assert apply(store, runs.move, run_id, RunState.paused, NOW)
    assert intend(store, run_id, 7, [ann]) == set()
    assert states(store, run_id) == {ann: "pending", bob: "pending"}
    assert claim(store, run_id, 8) == []
    assert apply(store, runs.move, run_id, RunState.running, NOW)
    assert claim(store, run_id, 8, most=1) == [ann]
    assert apply(store, runs.move, run_id, RunState.cancelled, NOW)
    assert apply(store, ledger.abandon, run_id, NOW) == 1
    assert intend(store, run_id, 8, [ann]) == set()
    apply(store, ledger.finish, NOW)
    assert {row["reason"] for row in rows(store, run_id).values()} == {"cancelled"}


@pytest.mark.parametrize(("resend", "after"), [(True, "pending"), (False, "sent")])
def test_a_row_in_doubt_is_resolved_by_hand(store: Store, resend: bool, after: str) -> None:
    ann, *_ = customers(store, 1)
    run_id = begin(store, [ann])
    claim(store, run_id, 7)
    intend(store, run_id, 7, [ann])
    settle(store, run_id, 7, ann, S.unconfirmed)
    assert apply(store, ledger.finish, NOW) == [run_id]
    assert apply(store, ledger.resolve, run_id, resend, NOW) == 1
    assert states(store, run_id) == {ann: after}
    with store.read() as connection:
        run = runs.get(connection, run_id)
    assert run is not None
    assert run["state"] == ("running" if resend else "finished")


def test_workers_never_share_a_row(store: Store) -> None:
    who = customers(store, 300)
    run_id = begin(store, who)
    ready = threading.Barrier(4)

    def work(token: int) -> list[int]:
        ready.wait(30)
        taken: list[int] = []
        while some := claim(store, run_id, token, most=7):
            assert len(some) <= 7
            taken += some
        return taken

    with ThreadPoolExecutor(4) as pool:
        shares = list(pool.map(work, range(1, 5)))
    assert sorted(one for share in shares for one in share) == sorted(who)


def test_two_begins_of_one_plan_make_one_run(store: Store) -> None:
    who = customers(store, 3)
    run_id = begin(store, who, plan="same")
    with pytest.raises(Refused):
        begin(store, customers(store, 1), plan="same")
    assert set(rows(store, run_id)) == set(who)


def test_a_row_that_comes_back_to_its_holder_is_in_one_hand(store: Store) -> None:
    who = customers(store, 3)
    run_id = begin(store, who)

    async def story() -> list[bool]:
        rounds = Rounds(store, run_id, 7, timedelta(minutes=5))
        assert len(await rounds.claim(10)) == 3
        # As after a laptop's sleep: everything lapses, and is recovered before its holder goes on.
        apply(store, ledger.recover, datetime.now(UTC) + timedelta(hours=1))
        assert await rounds.claim(10) == []
        answers = await asyncio.gather(*(rounds.intend(one, []) for one in who))
        for one in who:
            rounds.settle(Settled(one, S.sent))
        await rounds.close()
        return list(answers)

    assert asyncio.run(story()) == [True, True, True]
    assert set(states(store, run_id).values()) == {"sent"}


def test_rounds_that_fail_leave_nobody_waiting(store: Store) -> None:
    ann, *_ = customers(store, 1)
    run_id = begin(store, [ann])

    async def story() -> bool:
        rounds = Rounds(store, run_id, 7, LEASE)
        await rounds.claim(1)
        # A link whose number no column holds: a fault of ours, not of the database.
        answer = await rounds.intend(ann, [(2**80, "https://shop.example")])
        with pytest.raises(Exception, match=r"(?i)int|range|large"):
            await rounds.close()
        return answer

    assert asyncio.run(story()) is False
    assert states(store, run_id) == {ann: "pending"}


class Histories(RuleBasedStateMachine):
    """Workers, zombies, withdrawals and an operator in any order. A dot is `out` until its worker learns it failed."""

    store: Store
    at_least_once = False

    def __init__(self) -> None:
        super().__init__()
        self.who = customers(self.store, 4)
        self.run_id = begin(self.store, self.who, self.at_least_once)
        self.now = NOW
        self.tokens = count(1)
        self.held: list[tuple[int, int]] = []
        self.out: dict[int, int] = {}
        self.no: set[int] = set()
        self.running = True
        self.before = states(self.store, self.run_id)

    @rule(most=st.integers(1, 3))
    def claim(self, most: int) -> None:
        token = next(self.tokens)
        taken = claim(self.store, self.run_id, token, self.now, most)
        assert self.running or not taken
        self.held += [(token, one) for one in taken]

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def intend(self, data: st.DataObject) -> None:
        token, one = data.draw(st.sampled_from(self.held))
        claimed = rows(self.store, self.run_id)[one]
        if intend(self.store, self.run_id, token, [one], self.now):
            assert (claimed["state"], claimed["token"]) == ("claimed", token)
            assert self.running
            assert one not in self.no
            assert self.at_least_once or one not in self.out, "a second dot"
            self.out[one] = token

    @precondition(lambda self: self.held)
    @rule(data=st.data(), state=st.sampled_from([S.sent, S.deferred, S.refused, S.pending, S.unconfirmed, S.skipped]))
    def settle(self, data: st.DataObject, state: DeliveryState) -> None:
        token, one = data.draw(st.sampled_from(self.held))
        released = self.out.get(one) == token
        if state in ((S.skipped,) if released else (S.sent, S.unconfirmed)):
            return
        self.held.remove((token, one))
        moved = settle(self.store, self.run_id, token, one, state, self.now + LEASE)
        if released and moved and state in (S.deferred, S.refused, S.pending):
            del self.out[one]

    @rule(seconds=st.integers(1, 50))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def recover(self) -> None:
        apply(self.store, ledger.recover, self.now)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), release=st.booleans())
    def renew_or_release(self, data: st.DataObject, release: bool) -> None:
        token, _ = data.draw(st.sampled_from(self.held))
        if release:
            apply(self.store, ledger.release, self.run_id, token)
        else:
            apply(self.store, ledger.renew, self.run_id, token, self.now + LEASE)

    @rule(hold=st.booleans())
    def pause_or_resume(self, hold: bool) -> None:
        to = RunState.running if not self.running or not hold else RunState.paused
        if apply(self.store, runs.move, self.run_id, to, self.now):
            self.running = to is RunState.running

    @precondition(lambda self: len(self.out) > 2)
    @rule()
    def cancel(self) -> None:
        if apply(self.store, runs.move, self.run_id, RunState.cancelled, self.now):
            self.running = False
            apply(self.store, ledger.abandon, self.run_id, self.now)

    @rule()
    def finish(self) -> None:
        if self.run_id in apply(self.store, ledger.finish, self.now):
            self.running = False

    @rule(data=st.data(), suppress=st.booleans())
    def say_no(self, data: st.DataObject, suppress: bool) -> None:
        one = data.draw(st.sampled_from(self.who))
        self.no.add(one)
        with self.store.write() as connection:
            if suppress:
                people = sql.table(tables.Customer)
                asked = people.select().with_only_columns(people.c.address_hash).where(people.c.id == one)
                suppression.add(connection, str(connection.scalar(asked)), "complained", "test", self.now)
            else:
                consent.record(connection, one, project.TOPIC, False, self.now, "test")

    @invariant()
    def only_arrows(self) -> None:
        after = states(self.store, self.run_id)
        for one, state in after.items():
            earlier = self.before[one]
            assert state == earlier or state in ARROWS.get(earlier, set()), f"{earlier} -> {state}"
        self.before = after

    def teardown(self) -> None:
        """Let every lease lapse: nobody holds a row, and each released dot is accounted for."""
        apply(self.store, ledger.recover, self.now + LEASE * 9)
        apply(self.store, ledger.finish, self.now + LEASE * 9)
        final = states(self.store, self.run_id)
        assert not set(final.values()) & {"claimed", "dotting"}
        if not self.at_least_once:
            assert all(final[one] in ("sent", "unconfirmed") for one in self.out)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("at_least_once", [False, True])
def test_any_history_keeps_to_the_arrows(store: Store, at_least_once: bool) -> None:
    machine = type("Machine", (Histories,), {"store": store, "at_least_once": at_least_once})
    # Without shrinking: a failure is told at once, with all of its steps.
    calm = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    chosen = settings(max_examples=20, stateful_step_count=40, deadline=None, suppress_health_check=calm, database=None)
    chosen = settings(chosen, phases=[Phase.generate])
    run_state_machine_as_test(machine, settings=chosen)


def test_what_is_said_first_counts_as_new_and_once(store: Store) -> None:
    ann, *_ = customers(store, 1)
    said = (ann, "recipes", False, NOW, "test")
    assert [apply(store, consent.record, *said) for _ in range(2)] == [True, False]
    suppressed = ("ab" * 16, "complained", "test", NOW)
    assert [apply(store, suppression.add, *suppressed) for _ in range(2)] == [True, False]


def test_claim_and_recover_read_by_the_index(sqlite_url: str) -> None:
    store = Store.open(sqlite_url)
    seen: list[tuple[str, Any]] = []

    def note(connection: object, cursor: object, statement: str, given: object, *_: object) -> None:
        seen.append((statement, given))

    event.listen(store.engine, "before_cursor_execute", note)
    run_id = begin(store, customers(store, 3))
    seen.clear()
    claim(store, run_id, 7)
    apply(store, ledger.recover, NOW)
    apply(store, ledger.is_due, run_id, NOW)
    with store.read() as connection:
        for statement, given in [pair for pair in seen if not pair[0].startswith("BEGIN")]:
            steps = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given).all()
            told = "\n".join(str(step[-1]) for step in steps)
            assert "SCAN delivery" not in told
            assert "TEMP B-TREE" not in told
    store.close()
