"""Checks each arrow of the ledger."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from mailshot.deliver.ledger_writer import LedgerWriter
from mailshot.errors import Refused
from mailshot.states import DeliveryState, FeedbackClass, FeedbackKind, RunState, Suspicion
from mailshot.store import consent, dialect, feedback, ledger, ledger_queries, runs, suppression, tables, worker_ledger
from mailshot.store.engine import Store
from mailshot.store.feedback import FeedbackEvent
from mailshot.store.worker_ledger import DotRequest, Settled
from tests.support import project
from tests.support.ledger_rows import (
    GATES,
    LEASE,
    NOW,
    apply,
    begin,
    claim,
    commit_intent,
    customers,
    head,
    rows,
    settle,
    states,
)
from tests.support.query_plans import nodes, steps

S = DeliveryState


def test_a_mail_is_claimed_dotted_and_sent(store: Store) -> None:
    ann, *_ = customers(store, 1)
    run_id = begin(store, [ann])
    assert claim(store, run_id, 7) == [ann]
    assert commit_intent(store, run_id, 7, [ann]) == {ann}
    assert states(store, run_id) == {ann: "dotting"}
    assert settle(store, run_id, 7, ann, S.sent) == 1
    row = rows(store, run_id)[ann]
    assert (row["state"], row["reply"], row["settled_at"], row["attempts"]) == ("sent", "said", NOW, 1)
    assert apply(store, ledger.finish_runs, NOW) == [run_id]


def test_a_deferred_row_waits_for_its_moment(store: Store) -> None:
    ann, *_ = customers(store, 1)
    run_id = begin(store, [ann])
    claim(store, run_id, 7)
    later = NOW + timedelta(minutes=5)
    settle(store, run_id, 7, ann, S.deferred, later)
    assert claim(store, run_id, 8) == []
    assert not apply(store, ledger_queries.has_due_rows, run_id, NOW)
    assert claim(store, run_id, 8, later) == [ann]
    assert rows(store, run_id)[ann]["attempts"] == 2


def test_pending_rows_are_claimed_before_deferred_ones_up_to_the_limit(store: Store) -> None:
    who = customers(store, 5)
    run_id = begin(store, who)
    for customer_id in claim(store, run_id, 7, most=2):
        settle(store, run_id, 7, customer_id, S.deferred, NOW)
    assert sorted(claim(store, run_id, 8, most=4)) == [who[0], *who[2:]]


@pytest.mark.parametrize("state", [S.sent, S.refused, S.deferred, S.pending, S.skipped, S.unconfirmed])
def test_no_arrow_leads_out_of_a_settled_row(store: Store, state: DeliveryState) -> None:
    ann, bob = customers(store, 2)
    run_id = begin(store, [ann, bob])
    claim(store, run_id, 7)
    commit_intent(store, run_id, 7, [ann, bob])
    settle(store, run_id, 7, ann, S.sent)
    settle(store, run_id, 7, bob, S.refused)
    assert settle(store, run_id, 7, ann, state) + settle(store, run_id, 7, bob, state) == 0
    assert states(store, run_id) == {ann: "sent", bob: "refused"}


@pytest.mark.parametrize(("at_least_once", "after"), [(False, "unconfirmed"), (True, "pending")])
def test_rows_of_an_expired_lease_are_recovered(store: Store, at_least_once: bool, after: str) -> None:
    ann, bob = customers(store, 2)
    run_id = begin(store, [ann, bob], at_least_once)
    claim(store, run_id, 7)
    commit_intent(store, run_id, 7, [ann])
    assert apply(store, ledger.recover, NOW + LEASE) == (0, 0)
    assert apply(store, ledger.recover, NOW + LEASE * 2) == ((2, 0) if at_least_once else (1, 1))
    assert states(store, run_id) == {ann: after, bob: "pending"}
    assert commit_intent(store, run_id, 7, [bob]) == set(), "a worker without a lease gets no dot"


@pytest.mark.parametrize("at_least_once", [False, True])
def test_a_mail_opened_before_its_lease_expired_has_arrived(store: Store, at_least_once: bool) -> None:
    ann, bob = customers(store, 2)
    run_id = begin(store, [ann, bob], at_least_once)
    claim(store, run_id, 7)
    commit_intent(store, run_id, 7, [ann, bob])
    apply(store, feedback.record_event, FeedbackEvent(ann, FeedbackKind.clicked, "a click", NOW, run_id))
    scanned = FeedbackEvent(bob, FeedbackKind.clicked, "a scan", NOW, run_id, by=FeedbackClass.scanner)
    apply(store, feedback.record_event, scanned)
    apply(store, ledger.recover, NOW + LEASE * 2)
    assert states(store, run_id) == {ann: "sent", bob: "pending" if at_least_once else "unconfirmed"}


def test_a_late_report_settles_an_unconfirmed_row(store: Store) -> None:
    ann, *_ = customers(store, 1)
    run_id = begin(store, [ann])
    claim(store, run_id, 7)
    commit_intent(store, run_id, 7, [ann])
    apply(store, ledger.recover, NOW + LEASE * 2)
    assert settle(store, run_id, 8, ann, S.sent) == 0, "another worker knows nothing of it"
    assert settle(store, run_id, 7, ann, S.sent) == 1


def test_is_unsettled_says_whether_there_is_anything_to_settle(store: Store) -> None:
    def unsettled(now: datetime) -> bool:
        with store.read() as connection:
            return ledger_queries.is_unsettled(connection, now)

    ann, bob, cleo = customers(store, 3)
    run_id = begin(store, [ann, bob, cleo])
    claim(store, run_id, 7, most=2)
    commit_intent(store, run_id, 7, [ann])
    assert not unsettled(NOW)
    for _ in range(2):  # the second time for what was pending again
        assert unsettled(NOW + LEASE * 2)
        apply(store, ledger.recover, NOW + LEASE * 2)
        assert not unsettled(NOW + LEASE * 2)
        claim(store, run_id, 8, most=1)
    apply(store, ledger.recover, NOW + LEASE * 2)
    apply(store, runs.move_run, run_id, RunState.cancelled, NOW)
    assert unsettled(NOW), "of a cancelled run some are pending"
    apply(store, ledger.finish_runs, NOW)
    assert not unsettled(NOW + LEASE * 9)
    other = begin(store, [ann])
    claim(store, other, 7)
    commit_intent(store, other, 7, [ann])
    settle(store, other, 7, ann, S.sent)
    assert unsettled(NOW), "every row of a running run is settled"
    assert apply(store, ledger.finish_runs, NOW) == [other]
    assert not unsettled(NOW)


def test_renewing_keeps_a_lease(store: Store) -> None:
    ann, bob = customers(store, 2)
    run_id = begin(store, [ann, bob])
    claim(store, run_id, 7, most=1)
    assert apply(store, worker_ledger.renew, run_id, 7, NOW + LEASE * 3) == 1
    assert apply(store, ledger.recover, NOW + LEASE * 2) == (0, 0)


def test_a_withdrawal_and_a_suppression_and_an_erasure_stop_the_dot(store: Store) -> None:
    ann, bob, cid, eva, dan = who = customers(store, 5)
    run_id = begin(store, who)
    claim(store, run_id, 7)
    with store.write() as connection:
        consent.record_consent(connection, ann, project.TOPIC, False, NOW + LEASE, "test")
        people = dialect.table(tables.Customer)
        hashed = connection.scalar(people.select().with_only_columns(people.c.address_hash).where(people.c.id == bob))
        suppression.add(connection, str(hashed), "complained", "test", NOW)
        connection.execute(people.update().where(people.c.id == cid).values(email=None))
        connection.execute(people.update().where(people.c.id == eva).values(email="éva@mail.example"))
    assert commit_intent(store, run_id, 7, who) == {dan}
    deliveries = rows(store, run_id)
    assert [deliveries[customer_id]["reason"] for customer_id in who] == [
        "no consent", "suppressed", "no address", "unsupported address", None,
    ]  # fmt: skip
    assert all(deliveries[customer_id]["settled_at"] == NOW for customer_id in who[:4])
    assert [deliveries[customer_id]["attempts"] for customer_id in who] == [0, 0, 0, 0, 1]


def test_a_pause_returns_claimed_rows_and_a_cancellation_skips_them(store: Store) -> None:
    ann, bob = customers(store, 2)
    run_id = begin(store, [ann, bob])
    claim(store, run_id, 7, most=1)
    assert apply(store, runs.move_run, run_id, RunState.paused, NOW)
    assert commit_intent(store, run_id, 7, [ann]) == set()
    assert states(store, run_id) == {ann: "pending", bob: "pending"}
    assert claim(store, run_id, 8) == []
    assert apply(store, runs.move_run, run_id, RunState.running, NOW)
    assert claim(store, run_id, 8, most=1) == [ann]
    assert apply(store, runs.move_run, run_id, RunState.cancelled, NOW)
    assert apply(store, ledger.skip_waiting, run_id, NOW) == 1
    assert commit_intent(store, run_id, 8, [ann]) == set()
    apply(store, ledger.finish_runs, NOW)
    assert {row["reason"] for row in rows(store, run_id).values()} == {"cancelled"}


@pytest.mark.parametrize(("resend", "after"), [(True, "pending"), (False, "sent")])
def test_an_unconfirmed_row_is_resolved_manually(store: Store, resend: bool, after: str) -> None:
    ann, *_ = customers(store, 1)
    run_id = begin(store, [ann])
    claim(store, run_id, 7)
    commit_intent(store, run_id, 7, [ann])
    settle(store, run_id, 7, ann, S.unconfirmed)
    assert apply(store, ledger.finish_runs, NOW) == [run_id]
    assert apply(store, ledger.resolve_unconfirmed, run_id, resend, NOW) == 1
    assert states(store, run_id) == {ann: after}
    with store.read() as connection:
        run = runs.find_run(connection, run_id)
    assert run is not None
    assert run.state == ("running" if resend else "finished")


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
    assert sorted(customer_id for share in shares for customer_id in share) == sorted(who)


def test_two_begins_of_one_plan_make_one_run(store: Store) -> None:
    who = customers(store, 3)
    run_id = begin(store, who, plan="same")
    with pytest.raises(Refused):
        begin(store, customers(store, 1), plan="same")
    assert set(rows(store, run_id)) == set(who)


def test_a_row_claimed_again_by_its_holder_is_given_out_once(store: Store) -> None:
    who = customers(store, 3)
    run_id = begin(store, who)

    async def story() -> list[bool]:
        rounds = LedgerWriter(store, head(store, run_id), GATES, 7, timedelta(minutes=5))
        assert len(await rounds.claim(10)) == 3
        # As after a laptop's sleep: everything lapses, and is recovered before its holder goes on.
        apply(store, ledger.recover, datetime.now(UTC) + timedelta(hours=1))
        assert await rounds.claim(10) == []
        answers = await asyncio.gather(*(rounds.commit_intent(customer_id, 0, []) for customer_id in who))
        for customer_id in who:
            rounds.settle(Settled(customer_id, S.sent))
        await rounds.close()
        return list(answers)

    assert asyncio.run(story()) == [True, True, True]
    assert set(states(store, run_id).values()) == {"sent"}


def test_a_failing_ledger_leaves_no_connection_waiting(store: Store) -> None:
    ann, *_ = customers(store, 1)
    run_id = begin(store, [ann])

    async def story() -> bool:
        rounds = LedgerWriter(store, head(store, run_id), GATES, 7, LEASE)
        await rounds.claim(1)
        # A link whose number no column holds: a fault of ours, not of the database.
        answer = await rounds.commit_intent(ann, 0, [(2**80, "https://shop.example")])
        with pytest.raises(Exception, match=r"(?i)int|range|large"):
            await rounds.close()
        return answer

    assert asyncio.run(story()) is False
    assert states(store, run_id) == {ann: "pending"}


def test_the_first_suppression_is_new_and_counts_once(store: Store) -> None:
    ann, *_ = customers(store, 1)
    withdrawal = (ann, "recipes", False, NOW, "test")
    assert [apply(store, consent.record_consent, *withdrawal) for _ in range(2)] == [True, False]
    suppressed = ("ab" * 16, "complained", "test", NOW)
    assert [apply(store, suppression.add, *suppressed) for _ in range(2)] == [True, False]


def test_claim_and_recover_read_by_the_index(sqlite_url: str) -> None:
    store = Store.open(sqlite_url)
    run_id = begin(store, customers(store, 3))
    with steps(store) as plan:
        claim(store, run_id, 7)
        apply(store, ledger.recover, NOW)
        apply(store, ledger_queries.has_due_rows, run_id, NOW)
    assert plan
    assert not [step for step in plan if "SCAN delivery" in step or "TEMP B-TREE" in step]
    store.close()


def test_the_check_at_the_dot_reads_no_whole_run_without_statistics(sqlite_url: str) -> None:
    store = Store.open(sqlite_url)
    run_id = begin(store, customers(store, 3))
    claimed = claim(store, run_id, 7)
    with steps(store) as plan:
        commit_intent(store, run_id, 7, claimed)
    assert any("other" in step for step in plan)
    lines = [line for step in plan for line in step.splitlines() if "SEARCH other" in line or "SCAN other" in line]
    assert [line for line in lines if "customer_id=?" not in line] == []
    store.close()


def suspicions(store: Store, run_id: int) -> dict[int, int]:
    return {who: row["suspicion"] for who, row in rows(store, run_id).items()}


@pytest.mark.parametrize(
    ("before", "after"),
    [(Suspicion.rendering, Suspicion.held), (Suspicion.writing_again, Suspicion.suspected_again)],
)
def test_a_mail_that_is_rendered_when_its_worker_stops_has_not_crashed_it(
    store: Store, before: Suspicion, after: Suspicion
) -> None:
    (ann,) = customers(store, 1)
    run_id = begin(store, [ann])
    claim(store, run_id, 7)
    assert apply(store, worker_ledger.set_suspicion, run_id, 7, ann, before)
    assert apply(store, worker_ledger.unclaim, run_id, 7) == 1
    assert suspicions(store, run_id) == {ann: after}


def test_a_row_that_is_denied_and_no_longer_forbidden_is_pending_again(store: Store) -> None:
    (ann,) = customers(store, 1)
    run_id = begin(store, [ann])
    claim(store, run_id, 7)
    apply(store, worker_ledger.skip_disallowed, DotRequest(run_id, 7, {ann: 0}, GATES, NOW, NOW))
    assert states(store, run_id) == {ann: S.pending}


def test_a_row_whose_mail_crashed_two_workers_is_proven(store: Store) -> None:
    ann, bob, cid = customers(store, 3)
    run_id = begin(store, [ann, bob, cid])
    claim(store, run_id, 7, most=2)
    apply(store, ledger.recover, NOW + LEASE * 2)
    assert suspicions(store, run_id) == {ann: Suspicion.held, bob: Suspicion.held, cid: Suspicion.none}
    claim(store, run_id, 8, NOW + LEASE * 2)
    lost = apply(store, worker_ledger.set_suspicion, run_id, 7, ann, Suspicion.rendering)
    assert not lost, "the first worker lost the row"
    assert apply(store, worker_ledger.set_suspicion, run_id, 8, ann, Suspicion.rendering)
    apply(store, ledger.recover, NOW + LEASE * 4)
    assert suspicions(store, run_id) == {ann: Suspicion.suspected_again, bob: Suspicion.held, cid: Suspicion.held}
    with store.write() as connection:
        again = worker_ledger.claim(connection, run_id, 9, NOW + LEASE * 4, NOW + LEASE * 5, 10)
    assert {row.customer_id: row.suspicion for row in again} == suspicions(store, run_id)
    assert apply(store, worker_ledger.set_suspicion, run_id, 9, ann, Suspicion.writing_again)
    apply(store, ledger.recover, NOW + LEASE * 6)
    assert suspicions(store, run_id)[ann] == Suspicion.proven


def test_postgres_reads_no_whole_run_for_the_check_at_the_dot(postgres_url: str) -> None:
    """Without statistics of a run that was just launched, it would read the run's rows for each mail."""
    store = Store.open(postgres_url)
    people = customers(store, 5000)
    begin(store, people)
    with store.write() as connection:
        connection.exec_driver_sql("ANALYZE")
    run_id = begin(store, people)
    claimed = claim(store, run_id, 7, most=20)
    with nodes(store) as plan, store.engine.connect() as connection:
        # Undone, so that the rows are still claimed when the statement is explained.
        worker_ledger.commit_intent(connection, DotRequest(run_id, 7, dict.fromkeys(claimed, 0), GATES, NOW, NOW))
        connection.rollback()
    reads = [node["Actual Rows"] for node in plan if node.get("Alias") == "other"]
    assert reads
    assert max(reads) <= 5
    store.close()
