"""Checks whole runs through the database, the renderer and a real SMTP server, in one process."""

from __future__ import annotations

import email
import email.policy
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from mailshot.bootstrap import App
from mailshot.campaign import control, plan, preview
from mailshot.deliver import pipeline, routes
from mailshot.deliver.outcome import Status
from mailshot.feedback import withdrawals
from mailshot.feedback.withdrawals import WithdrawalRequest
from mailshot.states import RunState
from mailshot.store import dialect, ledger_queries, runs, suppression, tables
from tests.support import processes, project
from tests.support.processes import Sink
from tests.support.project import Shop

Apps = Callable[..., App]


def counts(shop: Shop, run_id: int) -> dict[str, int]:
    with shop.store.read() as connection:
        return ledger_queries.count_states(connection, run_id)


def finished(shop: Shop, run_id: int) -> bool:
    with shop.store.read() as connection:
        run = runs.find_run(connection, run_id)
    return run is not None and run.state is RunState.finished


def send(app: App, run_id: int, most: int = 2000) -> bool:
    return pipeline.send_batch(app.send_settings, run_id, most, threading.Event())


def assert_all_once(shop: Shop, sink: Sink, run_id: int, number: int) -> None:
    assert counts(shop, run_id) == {"sent": number}
    assert len(sink.entries()) == number
    assert not sink.twice()
    assert finished(shop, run_id)


def test_all_are_sent_once(shop: Shop, sink: Sink, app: Apps) -> None:
    run_id = shop.launch()
    assert not send(app(), run_id)
    assert_all_once(shop, sink, run_id, 60)


def test_a_batch_returns_whether_more_is_due(shop: Shop, sink: Sink, app: Apps) -> None:
    run_id = shop.launch()
    assert send(app(), run_id, 25)
    assert counts(shop, run_id) == {"sent": 25, "pending": 35}
    assert send(app(), run_id, 25)
    assert not send(app(), run_id, 25)
    assert_all_once(shop, sink, run_id, 60)


def test_the_message_reads_back(shop: Shop, sink: Sink, app: Apps) -> None:
    run_id = shop.launch()
    send(app(), run_id)
    for entry in sink.entries():
        message = email.message_from_string(entry["data"], policy=email.policy.default)
        assert message["To"].addresses[0].addr_spec == entry["rcpt"]
        assert entry["from"].startswith("b+")
        assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert message["List-Unsubscribe"].startswith("<http://127.0.0.1:8080/u/")
        html = message.get_body(("html",))
        text = message.get_body(("plain",))
        assert html is not None
        assert text is not None
        for body in (html, text):
            assert f"Dear Ann {entry['rcpt'].partition('@')[0]}," in body.get_content()


def test_a_customer_who_unsubscribes_during_a_run_gets_no_dot(shop: Shop, sink: Sink, app: Apps) -> None:
    run_id = shop.launch()
    send(app(), run_id, 20)
    gone = [customer for customer, state in _states(shop, run_id).items() if state == "pending"][:10]
    with shop.store.write() as connection:
        for customer in gone:
            request = WithdrawalRequest(run_id, customer, datetime.now(UTC))
            assert withdrawals.withdraw(connection, request) == project.TOPIC
    send(app(), run_id)
    assert counts(shop, run_id) == {"sent": 50, "skipped": 10}
    assert len(sink.entries()) == 50
    assert all(_states(shop, run_id)[customer] == "skipped" for customer in gone)
    assert finished(shop, run_id)


def test_a_withdrawal_during_a_run_applies_from_its_commit(shop: Shop, sink: Sink, app: Apps) -> None:
    shop.add(project.people(300, first=1000))
    run_id = shop.launch()
    withdrawn_at: dict[int, datetime] = {}

    def withdraw_all() -> None:
        for customer in reversed(shop.customers):
            with shop.store.write() as connection:
                withdrawals.withdraw(connection, WithdrawalRequest(run_id, customer, datetime.now(UTC)))
            withdrawn_at[customer] = datetime.now(UTC)

    with ThreadPoolExecutor(1) as pool:
        withdrawing = pool.submit(withdraw_all)
        send(app(), run_id)
        withdrawing.result(60)
    assert not sink.twice()
    assert set(counts(shop, run_id)) <= {"sent", "skipped"}
    delivery = dialect.table(tables.Delivery)
    with shop.store.read() as connection:
        rows = connection.execute(delivery.select().where(delivery.c.state == "sent")).mappings().all()
    assert all(row["dotted_at"] <= withdrawn_at[row["customer_id"]] for row in rows)


def test_a_mail_that_cannot_be_rendered_skips_only_its_row(shop: Shop, sink: Sink, app: Apps) -> None:
    odd = project.people(1, "ok", first=500) + project.people(1, "jos\u00e9", first=501)
    odd += project.people(1, "a b", first=502) + project.people(1, "late", first=503)
    odd[0]["first_name"] = None
    shop.add(odd)
    late = {"templates/hello/subject.txt": "{{ customer.first_name.upper() }} {{ 1 // (customer.key|length - 4) }}"}
    Shop.open(shop.store, shop.folder, more=late)
    with shop.store.write() as connection:
        customer = dialect.table(tables.Customer)
        connection.execute(customer.update().where(customer.c.key == "c503").values(key="late!"))
    run_id = shop.launch()
    assert not send(app(), run_id)
    states = counts(shop, run_id)
    assert states["skipped"] >= 3
    assert states["sent"] + states["skipped"] == 64
    assert finished(shop, run_id)
    assert not sink.twice()


def test_a_paused_run_sends_nothing_until_it_is_resumed(shop: Shop, sink: Sink, app: Apps) -> None:
    run_id = shop.launch()
    send(app(), run_id, 20)
    control.set_state(shop.store, "hello", RunState.paused, datetime.now(UTC))
    assert not send(app(), run_id)
    assert pipeline.runs_with_due_mail(shop.store, datetime.now(UTC), shared=True) == []
    assert counts(shop, run_id) == {"sent": 20, "pending": 40}
    control.set_state(shop.store, "hello", RunState.running, datetime.now(UTC))
    assert pipeline.runs_with_due_mail(shop.store, datetime.now(UTC)) == [run_id]
    send(app(), run_id)
    assert_all_once(shop, sink, run_id, 60)


def test_a_run_cancelled_while_sending_leaves_nothing_pending(shop: Shop, sink: Sink, app: Apps) -> None:
    run_id = shop.launch()
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(pipeline.send_batch, app().send_settings, run_id, 2000, stop)
        processes.until(lambda: len(sink.entries()) > 5, 30, "some are sent")
        control.set_state(shop.store, "hello", RunState.cancelled, datetime.now(UTC))
        sending.result(60)
    states = counts(shop, run_id)
    assert states["sent"] == len(sink.entries())
    assert states["sent"] + states.get("skipped", 0) == 60


def test_a_graceful_stop_finishes_the_mails_in_progress(shop: Shop, sink: Sink, app: Apps) -> None:
    shop.add(project.people(300, first=1000))
    run_id = shop.launch()
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(pipeline.send_batch, app().send_settings, run_id, 2000, stop)
        processes.until(lambda: len(sink.entries()) > 5, 30, "some are sent")
        stop.set()
        assert sending.result(60) is False
    states = counts(shop, run_id)
    assert states.keys() <= {"sent", "pending"}
    assert states["sent"] == len(sink.entries())


def test_a_stop_does_not_wait_for_the_rate(shop: Shop, sink: Sink, app: Apps) -> None:
    run_id = shop.launch(shop.campaign(more="limits: {rate: 1}\n"))
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(pipeline.send_batch, app().send_settings, run_id, 2000, stop)
        processes.until(lambda: len(sink.entries()) == 1, 30, "the first is sent")
        stop.set()
        sending.result(30)
    assert counts(shop, run_id) == {"sent": 1, "pending": 59}


def test_a_rate_holds_over_a_run(shop: Shop, sink: Sink, app: Apps) -> None:
    run_id = shop.launch(shop.campaign(more="limits: {rate: 900}\n"))
    begun = time.monotonic()
    send(app(), run_id)
    seconds = time.monotonic() - begun
    assert_all_once(shop, sink, run_id, 60)
    assert 15 * (seconds + 1) >= 60


def test_ten_doorbells_at_once_send_once(shop: Shop, sink: Sink, app: Apps) -> None:
    run_id = shop.launch()
    process = app()
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: send(process, run_id), range(10)))
    while not finished(shop, run_id):
        send(process, run_id)
    assert_all_once(shop, sink, run_id, 60)


@pytest.mark.parametrize("most", [1, 3, 7])
def test_a_server_that_closes_after_some_messages_defers_nothing(
    shop: Shop, app: Apps, tmp_path_factory: pytest.TempPathFactory, most: int
) -> None:
    with processes.sink(tmp_path_factory.mktemp("sink"), "--most", str(most)) as closing:
        run_id = shop.launch()
        send(app(smtp=closing.url), run_id)
        assert_all_once(shop, closing, run_id, 60)


def test_an_unreachable_server_costs_no_attempt_and_ends_the_batch(shop: Shop, sink: Sink, app: Apps) -> None:
    run_id = shop.launch()
    away = app(smtp=f"smtp://127.0.0.1:{processes.free_port()}")
    assert not send(away, run_id), "asking again at once would only spin"
    assert counts(shop, run_id) == {"pending": 60}
    delivery = dialect.table(tables.Delivery)
    with shop.store.read() as connection:
        assert {row.attempts for row in connection.execute(delivery.select())} == {0}
    send(app(), run_id)
    assert_all_once(shop, sink, run_id, 60)


def test_each_fault_of_a_recipient_leads_to_its_state(shop: Shop, sink: Sink, app: Apps) -> None:
    faults = ["450-rcpt", "421-rcpt", "550-rcpt", "454-rcpt", "557-dot", "451-dot", "554-dot", "421-dot"]
    faults += ["fin-rcpt", "rst-data", "fin-dot", "rst-after-accept"]
    for number, fault in enumerate(faults):
        shop.add(project.people(1, f"{fault}-x", first=700 + number))
    run_id = shop.launch()
    while send(app(), run_id):
        pass
    while pipeline.runs_with_due_mail(shop.store, datetime.now(UTC)):
        send(app(), run_id)
    assert counts(shop, run_id) == {"sent": 60, "deferred": 8, "refused": 2, "unconfirmed": 2}
    assert not sink.twice()


def test_at_least_once_sends_a_mail_in_doubt_again(shop: Shop, sink: Sink, app: Apps) -> None:
    shop.add(project.people(1, "rst-after-accept-x", first=700))
    run_id = shop.launch(shop.campaign(more="in_doubt: at_least_once\n"))
    send(app(), run_id)
    assert counts(shop, run_id) == {"sent": 60, "deferred": 1}
    delivery = dialect.table(tables.Delivery)
    with shop.store.write() as connection:
        due = delivery.update().where(delivery.c.state == "deferred")
        connection.execute(due.values(next_attempt_at=datetime.now(UTC)))
    send(app(), run_id)
    copies = [entry for entry in sink.entries() if entry["rcpt"].startswith("rst-")]
    assert len(copies) == 2
    assert copies[0]["id"] == copies[1]["id"]
    assert copies[0]["sha256"] == copies[1]["sha256"]


def _states(shop: Shop, run_id: int) -> dict[int, str]:
    delivery = dialect.table(tables.Delivery)
    with shop.store.read() as connection:
        rows = connection.execute(delivery.select().where(delivery.c.run_id == run_id)).all()
    return {row.customer_id: row.state for row in rows}


def test_a_mailbox_that_does_not_exist_is_suppressed(shop: Shop, sink: Sink, app: Apps) -> None:
    """Only the address that was refused: neither for the sender's fault, nor the one a customer has moved to since."""
    people = ["550-rcpt-gone", "557-rcpt-policy", "450-rcpt-later", "554-dot-content"]
    shop.add([project.person(local, f"{local}@mail.example") for local in people])
    run_id = shop.launch()
    send(app(), run_id)
    suppressions = dialect.table(tables.Suppression)
    with shop.store.read() as connection:
        suppressed = [tuple(row) for row in connection.execute(suppressions.select().with_only_columns(
            suppressions.c.address_hash, suppressions.c.reason, suppressions.c.source))]  # fmt: skip
    gone = project.person("x", "550-rcpt-gone@mail.example")["address_hash"]
    assert suppressed == [(gone, "bounced", f"run {run_id}")]
    with shop.store.write() as connection:
        moved = [(shop.customers[0], "former@mail.example")]
        suppression.add_refused(connection, moved, "test", datetime.now(UTC))
        assert connection.execute(suppressions.select()).all()[1:] == []


def test_a_test_mail_is_marked_in_its_subject_and_not_counted(shop: Shop, sink: Sink, app: Apps) -> None:
    edition = shop.campaign()
    plan.make_plan(shop.store, edition, project.NOW, project.NOW)
    process = app()
    letter = preview.write_preview(shop.store, edition, "c7", process.keys, "https://x.example", project.NOW)
    assert routes.send_test_mail([process.server], letter, "me@shop.example").status is Status.accepted
    [entry] = sink.entries()
    message = email.message_from_string(entry["data"], policy=email.policy.default)
    assert (entry["rcpt"], message["To"], message["Subject"]) == ("me@shop.example",) * 2 + ("[Test] Hello Ann c7",)
    run_id = shop.launch(edition)
    send(process, run_id)
    subjects = [
        email.message_from_string(mail["data"], policy=email.policy.default)["Subject"] for mail in sink.entries()
    ]
    assert sum(subject.startswith("[Test] ") for subject in subjects) == 1
    assert counts(shop, run_id) == {"sent": 60}
