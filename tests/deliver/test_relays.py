"""Checks how mails are shared out among several relays, and what becomes of them when a relay fails."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from mailshot import metrics
from mailshot.bootstrap import App
from mailshot.deliver import pipeline, rate_limit, relays
from mailshot.deliver.relays import Relay, Relays
from mailshot.deliver.smtp import Server
from mailshot.errors import SettingsError
from mailshot.metrics import Counter as Counted
from mailshot.settings import Settings
from mailshot.store import dialect, ledger, tables
from tests.support import processes, project
from tests.support.ledger_rows import DELIVERY, rows, states
from tests.support.processes import Sink
from tests.support.project import FILES, Shop

Run = Callable[..., Sink]
BOTH = "[{relay: own, weight: 3}, {relay: ses}]"


@pytest.fixture(autouse=True)
def _own_records() -> Iterator[None]:
    """Let no test inherit what another one learnt of a relay at the same port."""
    relays._records.clear()
    yield
    relays._records.clear()


def counted(counter: Counted, relay: str) -> int:
    """Return a counter's number for a relay, in this process."""
    return dict(counter.read()).get((f"MAILSHOT_RELAY_{relay}",), 0)


def objections() -> int:
    return sum(counted(metrics.SENDER_FAULTS, relay) for relay in ("OWN", "SES"))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Give a starter of sinks."""
    with ExitStack() as stack:
        yield lambda *options: stack.enter_context(processes.sink(tmp_path, *options))


def launch(shop: Shop, through: str, more: str = "") -> int:
    senders = f"{FILES['rules/senders.yaml']}  through: {through}\n"
    (shop.folder / "rules/senders.yaml").write_text(senders, encoding="utf-8")
    return shop.launch(shop.campaign(more=more))


def app(shop: Shop, sinks: Mapping[str, Sink | str], connections: int = 8) -> App:
    addresses = {name: sink if isinstance(sink, str) else sink.url for name, sink in sinks.items()}
    settings = Settings(
        project=shop.folder,
        keys=project.KEYS,  # type: ignore[arg-type]
        address_key=project.ADDRESS_KEY,  # type: ignore[arg-type]
        connections=connections,
        relay=addresses,  # type: ignore[arg-type]
        # Not used: nothing listens there.
        smtp="smtp://127.0.0.1:1",  # type: ignore[arg-type]
    )
    return App(settings, shop.store)


def send(made: App, run_id: int, most: int = 2000) -> bool:
    return pipeline.send_batch(made.send_settings, run_id, most, threading.Event())


def send_all(shop: Shop, made: App, run_id: int, patience: float = 60) -> None:
    """Send until nothing is due, with retries at once."""
    end_at = time.monotonic() + patience
    while set(states(shop.store, run_id).values()) & {"pending", "deferred"} and time.monotonic() < end_at:
        with shop.store.write() as connection:
            waiting = update(DELIVERY).where(DELIVERY.c.state == "deferred")
            connection.execute(waiting.values(next_attempt_at=datetime.now(UTC) - timedelta(seconds=1)))
        send(made, run_id)


def books_agree(shop: Shop, run_id: int, sinks: Mapping[str, Sink]) -> None:
    """Check that no mail arrived twice, and each only at the relay that the ledger names."""
    arrived = Counter(entry["rcpt"] for sink in sinks.values() for entry in sink.entries())
    assert [who for who, times in arrived.items() if times > 1] == []
    customer_at = {f"{person['key']}@mail.example": number for number, person in _people(shop).items()}
    ledger_rows = rows(shop.store, run_id)
    for name, sink in sinks.items():
        arrived_rows = [ledger_rows[customer_at[recipient]] for recipient in sink.recipients()]
        assert {row["relay"] for row in arrived_rows} <= {name}
        assert {row["state"] for row in arrived_rows} <= {"sent", "unconfirmed"}


def _people(shop: Shop) -> dict[int, Mapping[str, str]]:
    customer = dialect.table(tables.Customer)
    with shop.store.read() as connection:
        return {row["id"]: dict(row) for row in connection.execute(customer.select()).mappings()}


def test_mails_are_shared_out_by_weight(shop: Shop, run: Run) -> None:
    shop.add(project.people(340, first=1000))
    sinks = {"own": run("--delay", "0.05"), "ses": run("--delay", "0.05")}
    run_id = launch(shop, BOTH)
    assert not send(app(shop, sinks), run_id)
    assert Counter(states(shop.store, run_id).values()) == {"sent": 400}
    books_agree(shop, run_id, sinks)
    assert 2 <= len(sinks["own"].entries()) / len(sinks["ses"].entries()) <= 4.5


def test_a_relay_killed_during_a_run_is_replaced_by_the_others(shop: Shop, run: Run) -> None:
    shop.add(project.people(340, first=1000))
    sinks = {name: run("--delay", "0.02") for name in ("own", "ses", "third")}
    run_id = launch(shop, "[{relay: own, weight: 3}, {relay: ses}, {relay: third}]")
    made = app(shop, sinks)
    sending = threading.Thread(target=send, args=(made, run_id))
    sending.start()
    processes.until(lambda: len(sinks["own"].entries()) >= 60, 60, "own has some mails")
    processes.end(sinks["own"].process)
    sending.join(120)
    send_all(shop, made, run_id)
    outcome = Counter(states(shop.store, run_id).values())
    assert set(outcome) <= {"sent", "unconfirmed"}
    # At most one mail for each connection to the killed relay is in doubt.
    assert outcome["unconfirmed"] <= 8
    assert len(sinks["own"].entries()) >= 60
    books_agree(shop, run_id, sinks)
    in_doubt = [row for row in rows(shop.store, run_id).values() if row["state"] == "unconfirmed"]
    assert {row["relay"] for row in in_doubt} <= {"own"}


def test_a_mail_in_doubt_is_sent_again_by_its_relay_only(shop: Shop, run: Run) -> None:
    shop.add([project.person("lost", "rst-after-accept-lost@mail.example")])
    sinks = {"own": run(), "ses": run()}
    run_id = launch(shop, "[{relay: own}, {relay: ses, spare: yes}]", "in_doubt: at_least_once\n")
    made = app(shop, sinks)
    send(made, run_id)
    lost = shop.customers[-1]
    assert (states(shop.store, run_id)[lost], rows(shop.store, run_id)[lost]["relay"]) == ("deferred", "own")
    processes.end(sinks["own"].process)
    with shop.store.write() as connection:
        later = DELIVERY.c.customer_id.in_([lost, *shop.customers[:20]])
        again = {"state": "pending", "token": None, "settled_at": None}
        connection.execute(update(DELIVERY).where(later).values(**again, relay=None))
        connection.execute(update(DELIVERY).where(DELIVERY.c.customer_id == lost).values(relay="own"))
    # The relay is down: the others' mails are sent through the spare, and this one waits.
    assert not send(made, run_id)
    assert len(sinks["ses"].entries()) == 20
    for _ in range(3):
        send(made, run_id)
    assert (states(shop.store, run_id)[lost], rows(shop.store, run_id)[lost]["relay"]) == ("pending", "own")
    assert "rst-after-accept-lost@mail.example" not in sinks["ses"].recipients()
    # The relay is moved: the same name at another address takes the mail.
    moved = run()
    relays._records.clear()
    send(app(shop, {"own": moved, "ses": sinks["ses"]}), run_id)
    assert [entry["rcpt"] for entry in moved.entries()] == ["rst-after-accept-lost@mail.example"]
    assert "rst-after-accept-lost@mail.example" not in sinks["ses"].recipients()


def test_a_connection_to_another_relay_passes_a_bound_mail_on(shop: Shop, run: Run) -> None:
    sinks = {"own": run("--delay", "0.01"), "ses": run("--delay", "0.01")}
    run_id = launch(shop, BOTH)
    bound = shop.customers[::3]
    with shop.store.write() as connection:
        connection.execute(update(DELIVERY).where(DELIVERY.c.customer_id.in_(bound)).values(relay="ses"))
    assert not send(app(shop, sinks), run_id)
    assert Counter(states(shop.store, run_id).values()) == {"sent": 60}
    books_agree(shop, run_id, sinks)
    assert {rows(shop.store, run_id)[customer]["relay"] for customer in bound} == {"ses"}


def test_a_worker_that_ended_after_the_dot_leaves_the_relay_with_the_row(shop: Shop, run: Run) -> None:
    run_id = launch(shop, BOTH, "in_doubt: at_least_once\n")
    who = shop.customers[0]
    long_ago = datetime.now(UTC) - timedelta(minutes=5)
    with shop.store.write() as connection:
        held = {"state": "dotting", "token": 7, "lease_until": long_ago, "relay": "ses", "attempts": 1}
        connection.execute(update(DELIVERY).where(DELIVERY.c.customer_id == who).values(**held))
        ledger.recover(connection, datetime.now(UTC))
    assert (states(shop.store, run_id)[who], rows(shop.store, run_id)[who]["relay"]) == ("pending", "ses")
    sinks = {"own": run(), "ses": run()}
    send(app(shop, sinks), run_id)
    assert "c1@mail.example" in sinks["ses"].recipients()
    books_agree(shop, run_id, sinks)


def test_a_spare_is_used_only_while_no_other_works(shop: Shop, run: Run) -> None:
    sinks = {"own": run(), "spare": run()}
    run_id = launch(shop, "[{relay: own}, {relay: spare, spare: yes}]")
    made = app(shop, sinks)
    send(made, run_id, 20)
    assert (len(sinks["own"].entries()), len(sinks["spare"].entries())) == (20, 0)
    processes.end(sinks["own"].process)
    send_all(shop, made, run_id)
    assert (len(sinks["own"].entries()), len(sinks["spare"].entries())) == (20, 40)
    books_agree(shop, run_id, sinks)


@pytest.mark.parametrize("fault", ["421", "fin", "rst"])
def test_a_relay_that_refuses_connections_is_left_alone(shop: Shop, run: Run, fault: str) -> None:
    sinks = {"own": run("--at-connect", fault), "ses": run()}
    run_id, failures = launch(shop, BOTH), counted(metrics.CONNECTION_FAILURES, "OWN")
    assert not send(app(shop, sinks), run_id)
    assert Counter(states(shop.store, run_id).values()) == {"sent": 60}
    assert all(row["attempts"] == 1 for row in rows(shop.store, run_id).values())
    books_agree(shop, run_id, sinks)
    assert len(sinks["ses"].entries()) == 60
    failing = [setting for (setting, _), record in relays._records.items() if record.failures]
    assert failing == ["MAILSHOT_RELAY_OWN"]
    assert counted(metrics.CONNECTION_FAILURES, "OWN") > failures


def test_a_relay_that_refuses_senders_with_421_passes_its_mails_on(shop: Shop, run: Run) -> None:
    with _Refusing(b"421 4.7.0 too many mails") as own:
        sinks = {"ses": run()}
        run_id = launch(shop, BOTH)
        made = app(shop, {"own": own.url, **sinks})
        send(made, run_id)
    assert Counter(states(shop.store, run_id).values()) == {"sent": 60}
    assert len(sinks["ses"].entries()) == 60
    books_agree(shop, run_id, sinks)


def test_421_at_the_dot_defers_the_mail_and_slows_the_relay_down(shop: Shop, run: Run) -> None:
    shop.add([project.person("slow", "421-dot-slow@mail.example")])
    sinks = {"own": run("--delay", "0.02"), "ses": run("--delay", "0.02")}
    run_id, before = launch(shop, BOTH), objections()
    send(app(shop, sinks), run_id)
    assert Counter(states(shop.store, run_id).values()) == {"sent": 60, "deferred": 1}
    row = rows(shop.store, run_id)[shop.customers[-1]]
    assert row["relay"] is None, "the server has refused it, so any relay may have it"
    assert objections() - before == 1
    books_agree(shop, run_id, sinks)


def test_a_batch_stops_when_all_relays_object(shop: Shop) -> None:
    with _Refusing(b"421 4.7.0 too many mails") as own, _Refusing(b"421 4.7.0 go away") as ses:
        run_id = launch(shop, BOTH)
        assert not send(app(shop, {"own": own.url, "ses": ses.url}), run_id)
    counted = Counter(states(shop.store, run_id).values())
    assert counted["sent"] == 0
    assert counted["pending"] > 0


def test_without_any_relay_all_mails_wait(shop: Shop) -> None:
    run_id = launch(shop, BOTH)
    nowhere = {"own": "smtp://127.0.0.1:1", "ses": "smtp://127.0.0.1:1"}
    assert not send(app(shop, nowhere), run_id)
    assert not send(app(shop, nowhere), run_id)
    assert {row["attempts"] for row in rows(shop.store, run_id).values()} == {0}
    assert Counter(states(shop.store, run_id).values()) == {"pending": 60}


def test_a_relay_without_a_setting_stops_the_run_before_a_claim(shop: Shop, run: Run) -> None:
    sinks = {"own": run()}
    run_id = launch(shop, BOTH)
    with pytest.raises(SettingsError, match="MAILSHOT_RELAY_SES is missing"):
        send(app(shop, sinks), run_id)
    assert Counter(states(shop.store, run_id).values()) == {"pending": 60}
    assert sinks["own"].entries() == []


def test_a_relay_that_waits_for_its_rate_holds_no_mail_back(shop: Shop, run: Run) -> None:
    sinks = {"own": run("--delay", "0.02"), "ses": run("--delay", "0.02")}
    run_id = launch(shop, "[{relay: own, connections: 2}, {relay: ses, rate: 1}]")
    assert not send(app(shop, sinks), run_id)
    assert Counter(states(shop.store, run_id).values()) == {"sent": 60}
    assert len(sinks["ses"].entries()) <= 1, "one mail a minute"
    books_agree(shop, run_id, sinks)


class _Refusing:
    """A server that refuses every sender, after a sound greeting."""

    def __init__(self, reply: bytes) -> None:
        self._reply = reply
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"smtp://127.0.0.1:{self._server.getsockname()[1]}"

    def __enter__(self) -> _Refusing:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with client, client.makefile("rwb", buffering=0) as lines:
            lines.write(b"220 sink\r\n")
            for line in lines:
                verb = line[:4].upper()
                lines.write(self._reply + b"\r\n" if verb == b"MAIL" else b"250 ok\r\n")
                if verb == b"MAIL":
                    return


def relay(name: str, **options: object) -> Relay:
    server = Server.parse(f"smtp://{name}.example", "never", setting=f"MAILSHOT_RELAY_{name.upper()}")
    return Relay(name, server, **{"limit": 20, "limiter": rate_limit.NoLimit(), **options})  # type: ignore[arg-type]


def targets(*chosen: Relay, places: int = 20) -> list[int]:
    async def share() -> list[int]:
        shared = Relays(chosen, places)
        result = [relay.target for relay in chosen]
        await shared.close()
        return result

    return asyncio.run(share())


def test_places_are_shared_out_by_weight_within_each_limit() -> None:
    assert targets(relay("a", weight=3), relay("b")) == [15, 5]
    assert targets(relay("a", weight=3, limit=6), relay("b")) == [6, 14]
    assert targets(relay("a", limit=2), relay("b", limit=3)) == [2, 3]
    assert targets(relay("a"), relay("b", spare=True)) == [20, 0]
    assert targets(relay("a", weight=1000), relay("b"), places=1) == [1, 0]


def test_a_relay_that_failed_is_tried_by_one_connection_first() -> None:
    one, other = relay("a"), relay("b", spare=True)
    one.record.fail(time.monotonic())
    assert targets(one, other) == [0, 20]
    one.record.down_until = 0.0
    assert targets(one, other) == [1, 19]
    one.record.answer(accepted=True)
    assert targets(one, other) == [20, 0]


def test_objections_halve_the_connections_and_acceptances_add_one_back() -> None:
    one = relay("a")
    one.record.add(batches=1, places=16)
    one.record.slow_down(time.monotonic())
    one.record.slow_down(time.monotonic())
    assert one.record.most == 8, "several objections at once count as one"
    assert one.record.room(20, True, 16, time.monotonic()) == 0
    one.record.paused_until = 0.0
    one.record.add(places=-16)
    assert one.record.room(20, True, 0, time.monotonic()) == 8
    for _ in range(relays.GROW_AFTER):
        one.record.answer(accepted=True)
    assert one.record.room(20, True, 0, time.monotonic()) == 9
    for _ in range(relays.GROW_AFTER * 12):
        one.record.answer(accepted=True)
    assert one.record.room(20, True, 0, time.monotonic()) == 20
    assert one.record.most is None


def test_batches_of_one_process_share_the_connections_of_a_relay() -> None:
    async def share() -> list[int]:
        first, second = relay("a", limit=10, shared=True), relay("a", limit=10, shared=True)
        one = Relays([first], 20)
        taken = 0
        while one.take():
            taken += 1
        other = Relays([second], 20)
        before = second.target
        one.share_out()
        while one.must_leave(first):
            one.release(first)
        other.share_out()
        result = [taken, before, first.target, second.target]
        await one.close()
        await other.close()
        return result

    assert asyncio.run(share()) == [10, 0, 5, 5]


def test_relays_that_are_down_or_paused_are_counted() -> None:
    one, other = relay("a"), relay("b")
    assert relays.count_unusable() == 0
    one.record.fail(time.monotonic() + 1000)
    other.record.slow_down(time.monotonic() + 1000)
    assert relays.count_unusable() == 2
