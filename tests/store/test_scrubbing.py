"""Checks that no erased data is left in the database's files once the clock has scrubbed them."""

from __future__ import annotations

import random
import secrets
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import insert, select, text

from mailshot.profile import address
from mailshot.store import consent, dialect, erasures, privacy, scrubbing, suppression
from mailshot.store.answers import AnswerEntry
from mailshot.store.engine import Connection, Store
from mailshot.store.inboxes import FormerAddress
from mailshot.store.tables import (
    AddressWithdrawal,
    Customer,
    Delivery,
    Event,
    Feedback,
    Interaction,
    PlanRow,
    Preference,
    Purchase,
    Referral,
    Run,
    Trait,
)  # fmt: skip
from mailshot.store.tables import Order as PurchaseOrder
from tests.support import customer_site
from tests.support.customer_site import ADA, BEN, RUN

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
WORD = "canary"
MANY = 200


def plant(store: Store) -> None:
    """Put a canary into every text and document of Ada's, and so many others beside her that she is one of many."""
    customer_site.seed(store)
    mine, quantity = {"customer_id": ADA, "at": NOW}, Decimal(1)
    line = {**mine, "order_key": f"{WORD}-order", "product_id": 4}
    sums = {"lines": 1, "items": quantity, "amount": quantity, "gross": quantity}
    rows: list[tuple[Any, dict[str, Any]]] = [
        (Purchase, {**line, "nth": 1, "quantity": quantity, "amount": quantity, "channel": f"{WORD}-channel"}),
        (PurchaseOrder, {**mine, "order_key": f"{WORD}-order2", "part": 0, **sums}),
        (Event, {**mine, "key": f"{WORD}-event", "name": f"{WORD}-name", "facts": {"a": f"{WORD}-a" * 900}}),
        (Interaction, {**mine, "key": f"{WORD}-call", "kind": f"{WORD}-kind", "facts": {"b": f"{WORD}-b"}}),
        (Referral, {**mine, "referred_id": BEN, "source": f"{WORD}-source"}),
        (PlanRow, {"plan_id": "p", "customer_id": ADA, "content": f"{WORD}-content"}),
        (Preference, {**mine, "name": f"{WORD}-pref", "value": f"{WORD}-value", "holds": True, "source": "page"}),
        (AnswerEntry, {**mine, "question": f"{WORD}-question", "value": f"{WORD}-answer", "state": "yes",
                       "source": f"{WORD}-way", "by": f"{WORD}-clerk", "note": f"{WORD}-note"}),
        (Feedback, {**mine, "kind": "clicked", "key": f"{WORD}-fb", "why": WORD, "detail": {"ua": f"{WORD}-ua"}}),
        (FormerAddress, {"customer_id": ADA, "address_hash": "f" * 32, "until": NOW}),
        (AddressWithdrawal, {"address_hash": "f" * 32, "topic": "offers", "at": NOW, "source": f"{WORD}-where"}),
    ]  # fmt: skip
    customer, ledger, trait = (dialect.table(model) for model in (Customer, Delivery, Trait))
    with store.write() as connection:
        for number in range(100, 100 + MANY):
            connection.execute(insert(customer).values(key=f"k{number}", id=number, lot=1, facts={"x": number}))
        for model, row in rows:
            connection.execute(insert(dialect.table(model)).values(**row))
        names = {"email": f"{WORD}@example.com", "key": f"{WORD}-key", "first_name": f"{WORD}-first"}
        names |= {"last_name": f"{WORD}-last", "country": f"{WORD}-land", "facts": {"size": f"{WORD}-size"}}
        connection.execute(customer.update().where(customer.c.id == ADA).values(**names))
        own = ledger.c.customer_id == ADA
        connection.execute(ledger.update().where(own).values(reply=f"250 {WORD}-reply", offers=[[4, 1]]))
        connection.execute(trait.update().where(trait.c.customer_id == ADA).values(evidence={"words": f"{WORD}-words"}))
        consent.record_consent(connection, ADA, "recipes", True, NOW, f"{WORD}-form", {"text": f"{WORD}-proof"})
        hashed = address.hash_address(customer_site.ADDRESS_KEY, f"{WORD}@example.com")
        suppression.add(connection, hashed, "complained", f"{WORD}-list", NOW)
    if not store.sqlite:
        with store.upkeep() as upkeep:
            upkeep.exec_driver_sql("ANALYZE")


def erase(store: Store, customer_id: int = ADA) -> None:
    with store.write() as connection:
        assert privacy.erase(connection, customer_id, customer_site.ADDRESS_KEY, "page", NOW)


def waiting(store: Store) -> erasures.Waiting:
    with store.read() as connection:
        return erasures.count_pending(connection)


def sqlite_files(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if file.is_file() and WORD.encode() in file.read_bytes()]


def postgres_files(url: str) -> list[str]:
    """Return the files of a database that hold the canary, read as the server keeps them."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        relations = connection.execute(
            "SELECT oid::regclass::text, pg_relation_filepath(oid) FROM pg_class "
            "WHERE relkind IN ('r', 'i', 't') AND pg_relation_filepath(oid) IS NOT NULL"
        ).fetchall()
        names = []
        for name, path in relations:
            content = connection.execute("SELECT pg_read_binary_file(%s, 0, 100000000, true)", (path,)).fetchone()
            if content and content[0] and WORD.encode() in content[0]:
                names.append(str(name))
        return names


def reading(store: Store) -> Connection:
    """Return a connection that goes on reading the state of this moment."""
    connection = store.engine.connect()
    if not store.sqlite:
        connection.execution_options(isolation_level="REPEATABLE READ")
    connection.execute(select(dialect.table(Customer))).all()
    return connection


def test_sqlite_keeps_nothing_once_the_reader_has_ended(sqlite_store: Store, tmp_path: Path) -> None:
    plant(sqlite_store)
    assert sqlite_files(tmp_path)
    reader = reading(sqlite_store)
    erase(sqlite_store)
    scrubbing.try_now(sqlite_store, NOW)
    assert waiting(sqlite_store) == erasures.Waiting(1, NOW)
    assert sqlite_files(tmp_path)
    reader.close()
    assert scrubbing.work(sqlite_store, NOW) == 1
    assert sqlite_files(tmp_path) == []
    assert waiting(sqlite_store) == erasures.Waiting(0, None)


def test_sqlite_keeps_no_copies_in_the_middle_of_pages(sqlite_store: Store, tmp_path: Path) -> None:
    """Where rows grow in the middle, pages are split, and both halves keep copies that nobody overwrites."""
    customer, draw = dialect.table(Customer), random.Random(1)
    numbers = list(range(1, 2001))
    draw.shuffle(numbers)
    for start in range(0, len(numbers), 200):
        rows = [{"id": n, "key": f"{WORD}{n * 7919 % 10007}", "lot": 1, "facts": {}} for n in numbers[start:][:200]]
        with sqlite_store.write() as connection:
            connection.execute(insert(customer), rows)
    for number in numbers:
        erase(sqlite_store, number)
    while scrubbing.work(sqlite_store, NOW, whole=True):
        pass
    assert waiting(sqlite_store).number == 0
    assert sqlite_files(tmp_path) == []


def test_sqlite_pauses_between_two_rewrites(sqlite_store: Store) -> None:
    plant(sqlite_store)
    erase(sqlite_store)
    assert scrubbing.work(sqlite_store, NOW) == 1
    erase(sqlite_store, BEN)
    assert scrubbing.work(sqlite_store, NOW + scrubbing.REST) == 0
    assert scrubbing.work(sqlite_store, NOW + scrubbing.REST + timedelta(seconds=1)) == 1


def test_a_large_file_waits_until_nothing_is_sent_or_for_the_operator(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(sqlite_store)
    erase(sqlite_store)
    monkeypatch.setattr(scrubbing, "SMALL_FILE", 0)
    run = dialect.table(Run)
    with sqlite_store.write() as connection:
        connection.execute(run.update().values(state="running"))
    assert scrubbing.work(sqlite_store, NOW) == 0
    with sqlite_store.write() as connection:
        connection.execute(run.update().values(state="finished"))
    assert scrubbing.too_large(sqlite_store) == []
    monkeypatch.setattr(scrubbing, "LARGE_FILE", 0)
    assert scrubbing.work(sqlite_store, NOW) == 0
    assert scrubbing.too_large(sqlite_store) == ["the file"]
    assert scrubbing.work(sqlite_store, NOW, whole=True) == 1


def test_postgres_keeps_nothing_once_the_reader_has_ended(postgres_store: Store, postgres_url: str) -> None:
    plant(postgres_store)
    assert postgres_files(postgres_url)
    reader = reading(postgres_store)
    erase(postgres_store)
    assert scrubbing.work(postgres_store, NOW) == 0
    assert waiting(postgres_store).number == 1
    reader.close()
    assert scrubbing.work(postgres_store, NOW) == 1
    assert postgres_files(postgres_url) == []


def test_postgres_sweeps_what_was_committed_after_the_first_sweep(
    postgres_store: Store, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(postgres_store)
    plan = postgres_store.engine.connect()
    plan.execute(insert(dialect.table(PlanRow)).values(plan_id="late", customer_id=ADA, content=f"{WORD}-late"))
    erase(postgres_store)
    scrub = scrubbing._scrub_postgresql

    def late(*arguments: Any) -> bool:
        plan.commit()
        plan.close()
        return scrub(*arguments)

    monkeypatch.setattr(scrubbing, "_scrub_postgresql", late)
    assert scrubbing.work(postgres_store, NOW) == 1
    assert postgres_files(postgres_url) == []


def test_an_erasure_waits_where_the_role_may_not_clear_the_statistics(postgres_store: Store, postgres_url: str) -> None:
    """The role owns the tables but not the database."""
    role = f"guest_{secrets.token_hex(4)}"
    plant(postgres_store)
    with postgres_store.write() as connection:
        me = connection.exec_driver_sql("SELECT current_user").scalar_one()
        connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN")
        connection.exec_driver_sql(f"GRANT ALL ON SCHEMA public TO {role}")
        tables = connection.exec_driver_sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").scalars()
        for table in tables.all():
            connection.exec_driver_sql(f'ALTER TABLE "{table}" OWNER TO {role}')
    guest = Store.open(postgres_store.engine.url.set(username=role).render_as_string(hide_password=False))
    try:
        erase(guest)
        assert not scrubbing.may_clear_statistics(guest)
        assert scrubbing.work(guest, NOW) == 0
        assert waiting(guest).number == 1
        assert scrubbing.work(postgres_store, NOW) == 1
    finally:
        guest.close()
        with postgres_store.write() as connection:
            connection.exec_driver_sql(f"REASSIGN OWNED BY {role} TO {me}")
            connection.exec_driver_sql(f"DROP OWNED BY {role}")
            connection.exec_driver_sql(f"DROP ROLE {role}")


def test_no_writer_waits_for_a_scrubbing_that_waits_for_a_reader(sqlite_store: Store) -> None:
    plant(sqlite_store)
    reader = reading(sqlite_store)
    erase(sqlite_store)
    scrubbing.work(sqlite_store, NOW)
    with sqlite_store.bare(0) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    reader.close()


def test_a_checkpoint_of_sqlite_gives_up_at_once(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection that scrubs waits for a fifth of a second; the next user of it waits as long as ever."""
    asked: list[int] = []
    bare = Store.bare
    monkeypatch.setattr(Store, "bare", lambda self, wait: (asked.append(wait), bare(self, wait))[1])
    plant(sqlite_store)
    erase(sqlite_store)
    scrubbing.work(sqlite_store, NOW)
    assert set(asked) == {scrubbing.LOCK_MILLISECONDS}
    with sqlite_store.read() as connection:
        assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 10_000


def test_an_interrupted_scrubbing_continues_the_next_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(store)
    erase(store)
    for step in ("rewrite", "_scrub_postgresql"):
        monkeypatch.setattr(scrubbing, step, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        scrubbing.work(store, NOW)
    monkeypatch.undo()
    assert waiting(store).number == 1
    assert scrubbing.work(store, NOW + timedelta(hours=1)) == 1


def test_an_erasure_is_pending_until_the_server_replies_to_a_mail(store: Store) -> None:
    plant(store)
    ledger = dialect.table(Delivery)
    own = (ledger.c.run_id == RUN) & (ledger.c.customer_id == ADA)
    with store.write() as connection:
        connection.execute(ledger.update().where(own).values(state="dotting"))
    erase(store)
    assert scrubbing.work(store, NOW) == 0
    with store.write() as connection:
        connection.execute(ledger.update().where(own).values(state="refused", reply=f"550 {WORD}@example.com"))
    assert scrubbing.work(store, NOW) == 1
    assert WORD not in str(customer_site.Look(store).everything())


def test_rows_written_during_an_erasure_are_deleted_as_well(store: Store) -> None:
    plant(store)
    erase(store)
    row = {"customer_id": ADA, "name": WORD, "value": WORD, "holds": True, "source": "page", "at": NOW}
    with store.write() as connection:
        connection.execute(insert(dialect.table(Preference)).values(**row))
    assert scrubbing.work(store, NOW) == 1
    assert WORD not in str(customer_site.Look(store).everything())


def test_two_erasures_at_once_and_one_twice(store: Store) -> None:
    plant(store)
    results: list[bool] = []

    def go(customer_id: int) -> None:
        with store.write() as connection:
            results.append(privacy.erase(connection, customer_id, customer_site.ADDRESS_KEY, "page", NOW))

    threads = [threading.Thread(target=go, args=(who,)) for who in (ADA, BEN, ADA)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(results) == [False, True, True]
    assert waiting(store).number == 2


def test_one_of_two_customers_at_an_address_is_erased_alone(store: Store) -> None:
    plant(store)
    customer = dialect.table(Customer)
    shared = {
        "email": f"{WORD}@example.com",
        "address_hash": address.hash_address(customer_site.ADDRESS_KEY, f"{WORD}@example.com"),
    }
    with store.write() as connection:
        connection.execute(customer.update().where(customer.c.id.in_([ADA, BEN])).values(**shared))
    erase(store)
    with store.read() as connection:
        rows = connection.execute(select(customer.c.id, customer.c.email).where(customer.c.id.in_([ADA, BEN]))).all()
        held = suppression.find_suppression(connection, shared["address_hash"])
    assert dict(map(tuple, rows)) == {ADA: None, BEN: f"{WORD}@example.com"}
    assert held is not None
    assert held["reason"] == suppression.ERASED


def test_an_erasure_that_waits_too_long_is_late() -> None:
    since = erasures.Waiting(1, NOW)
    assert not since.is_late(NOW + erasures.PROMISED)
    assert since.is_late(NOW + erasures.PROMISED + timedelta(seconds=1))
    assert not erasures.Waiting(0, None).is_late(NOW)
