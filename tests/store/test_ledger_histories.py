"""Checks the ledger in any order of steps by several workers, customers and an operator."""

from __future__ import annotations

from datetime import timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from mailshot.states import DeliveryState, RunState
from mailshot.store import consent, dialect, ledger, runs, suppression, tables, worker_ledger
from mailshot.store.engine import Store
from tests.support import project
from tests.support.ledger_rows import LEASE, NOW, apply, begin, claim, commit_intent, customers, rows, settle, states

S = DeliveryState
ARROWS: dict[str, set[DeliveryState]] = {
    S.pending: {S.claimed, S.skipped},
    S.claimed: {S.dotting, S.pending, S.deferred, S.refused, S.skipped},
    S.dotting: {S.sent, S.deferred, S.refused, S.unconfirmed, S.pending},
    S.deferred: {S.claimed, S.skipped},
    S.unconfirmed: {S.sent},
}


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
        self.held += [(token, customer_id) for customer_id in taken]

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def intend(self, data: st.DataObject) -> None:
        token, customer_id = data.draw(st.sampled_from(self.held))
        claimed = rows(self.store, self.run_id)[customer_id]
        if commit_intent(self.store, self.run_id, token, [customer_id], self.now):
            assert (claimed["state"], claimed["token"]) == ("claimed", token)
            assert self.running
            assert customer_id not in self.no
            assert self.at_least_once or customer_id not in self.out, "a second dot"
            self.out[customer_id] = token

    @precondition(lambda self: self.held)
    @rule(data=st.data(), state=st.sampled_from([S.sent, S.deferred, S.refused, S.pending, S.unconfirmed, S.skipped]))
    def settle(self, data: st.DataObject, state: DeliveryState) -> None:
        token, customer_id = data.draw(st.sampled_from(self.held))
        released = self.out.get(customer_id) == token
        if state in ((S.skipped,) if released else (S.sent, S.unconfirmed)):
            return
        self.held.remove((token, customer_id))
        moved = settle(self.store, self.run_id, token, customer_id, state, self.now + LEASE)
        if released and moved and state in (S.deferred, S.refused, S.pending):
            del self.out[customer_id]

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
            apply(self.store, worker_ledger.unclaim, self.run_id, token)
        else:
            apply(self.store, worker_ledger.renew, self.run_id, token, self.now + LEASE)

    @rule(hold=st.booleans())
    def pause_or_resume(self, hold: bool) -> None:
        to = RunState.running if not self.running or not hold else RunState.paused
        if apply(self.store, runs.move_run, self.run_id, to, self.now):
            self.running = to is RunState.running

    @precondition(lambda self: len(self.out) > 2)
    @rule()
    def cancel(self) -> None:
        if apply(self.store, runs.move_run, self.run_id, RunState.cancelled, self.now):
            self.running = False
            apply(self.store, ledger.skip_waiting, self.run_id, self.now)

    @rule()
    def finish(self) -> None:
        if self.run_id in apply(self.store, ledger.finish_runs, self.now):
            self.running = False

    @rule(data=st.data(), suppress=st.booleans())
    def say_no(self, data: st.DataObject, suppress: bool) -> None:
        customer_id = data.draw(st.sampled_from(self.who))
        self.no.add(customer_id)
        with self.store.write() as connection:
            if suppress:
                people = dialect.table(tables.Customer)
                asked = people.select().with_only_columns(people.c.address_hash).where(people.c.id == customer_id)
                suppression.add(connection, str(connection.scalar(asked)), "complained", "test", self.now)
            else:
                consent.record_consent(connection, customer_id, project.TOPIC, False, self.now, "test")

    @invariant()
    def only_arrows(self) -> None:
        after = states(self.store, self.run_id)
        for customer_id, state in after.items():
            earlier = self.before[customer_id]
            assert state == earlier or state in ARROWS.get(earlier, set()), f"{earlier} -> {state}"
        self.before = after

    def teardown(self) -> None:
        """Let every lease lapse: nobody holds a row, and each released dot is accounted for."""
        apply(self.store, ledger.recover, self.now + LEASE * 9)
        apply(self.store, ledger.finish_runs, self.now + LEASE * 9)
        final = states(self.store, self.run_id)
        assert not set(final.values()) & {"claimed", "dotting"}
        if not self.at_least_once:
            assert all(final[customer_id] in ("sent", "unconfirmed") for customer_id in self.out)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("at_least_once", [False, True])
def test_any_history_keeps_to_the_arrows(store: Store, at_least_once: bool) -> None:
    machine = type("Machine", (Histories,), {"store": store, "at_least_once": at_least_once})
    # Without shrinking: a failure is told at once, with all of its steps.
    calm = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    chosen = settings(max_examples=20, stateful_step_count=40, deadline=None, suppress_health_check=calm, database=None)
    chosen = settings(chosen, phases=[Phase.generate])
    run_state_machine_as_test(machine, settings=chosen)
