from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import SQLModel

from mailshot.profile import address
from mailshot.states import AuditAction, FeedbackKind
from mailshot.store import answers, audit, dialect, feedback, privacy, rule_schema, scrubbing, suppression
from mailshot.store.answers import AnswerEntry
from mailshot.store.engine import Store
from mailshot.store.tables import Customer, Delivery, Event, PlanRow, Product, Purchase
from tests.support import customer_site
from tests.support.answers import say
from tests.support.customer_site import ADA, BEN, RUN

NOW = datetime.now(UTC)
CANARY = "canary-7f3a91"


def plant(store: Store) -> None:
    """Put a canary into every text and document held about Ada."""
    customer_site.seed(store)
    mine = {"customer_id": ADA}
    rows: list[tuple[type[SQLModel], dict[str, Any]]] = [
        (Product, {"id": 40, "key": "fig", "name": f"{CANARY}-product", "known": True, "facts": {}}),
        (
            Purchase,
            {**mine, "order_key": f"{CANARY}-order", "product_id": 40, "nth": 1, "at": NOW, "amount": Decimal("2.5")}
            | {"quantity": Decimal(1), "channel": f"{CANARY}-channel"},
        ),
        (Event, {**mine, "key": f"{CANARY}-event", "name": f"{CANARY}-name", "at": NOW, "facts": {"a": CANARY}}),
        (PlanRow, {**mine, "plan_id": "p", "content": f"{CANARY}-content"}),
    ]
    with store.write() as connection:
        for model, row in rows:
            connection.execute(dialect.table(model).insert().values(**row))
        customer = dialect.table(Customer)
        values = {"last_name": f"{CANARY}-last", "country": f"{CANARY}-country", "facts": {"size": f"{CANARY}-fact"}}
        email = {"email": f"{CANARY}@example.com", "key": f"{CANARY}-key"}
        connection.execute(customer.update().where(customer.c.id == ADA).values(**values, **email))
        ledger = dialect.table(Delivery)
        own = (ledger.c.run_id == RUN) & (ledger.c.customer_id == ADA)
        reply = {"offers": [40], "reply": f"250 {CANARY}-reply"}
        connection.execute(ledger.update().where(own).values(**reply, state="deferred"))
        say(connection, ADA, f"{CANARY}-pref", "x", NOW, source=f"{CANARY}-page")
        kind = FeedbackKind.clicked
        piece = feedback.FeedbackEvent(
            ADA, kind, "k", NOW, RUN, link_id=customer_site.LINK, detail={"agent": f"{CANARY}-agent"}
        )
        feedback.record_event(connection, piece)
        suppression.add(
            connection, address.hash_address(customer_site.ADDRESS_KEY, "ada@example.com"), "x", CANARY, NOW
        )


def test_the_export_holds_every_row_of_every_table(store: Store) -> None:
    plant(store)
    with store.read() as connection:
        held = {name: list(rows) for name, rows in privacy.export(connection, ADA)}
    text = json.dumps(held)
    ends = [
        "product",
        "order",
        "channel",
        "event",
        "name",
        "content",
        "last",
        "country",
        "fact",
        "key",
        "reply",
        "pref",
        "agent",
    ]
    assert [end for end in ends if f"{CANARY}-{end}" not in text] == []
    assert f"{CANARY}@example.com" in text
    assert held["suppression"][0]["source"] == CANARY
    assert held["link"] == [{"id": customer_site.LINK, "url": customer_site.LINK_URL}]
    assert held["purchase"][0]["amount"] == "2.5000"
    assert [row["topic"] for row in held["consent"]] == ["offers", "tracking"]
    own = {row["customer_id"] for rows in held.values() for row in rows if "customer_id" in row}
    assert own == {ADA}


def test_the_export_does_not_name_staff(store: Store) -> None:
    customer_site.seed(store)
    with store.write() as connection:
        for value, by in (("vegan", "customer"), ("fish", "Frida of support"), ("meat", None)):
            entry = {"customer_id": ADA, "question": "diet", "value": value, "at": NOW, "state": "yes", "source": "t"}
            answers.record_answer(connection, AnswerEntry(**entry, by=by))
        audit.record(connection, AuditAction.exported, "Frida of support", NOW, customer_id=ADA)
        held = {name: list(rows) for name, rows in privacy.export(connection, ADA)}
    assert {row["value"]: row["by"] for row in held["answer"]} == {"vegan": "customer", "fish": "staff", "meat": None}
    assert [row["by"] for row in held["audit_entry"]] == ["staff"]


def erase(store: Store) -> bool:
    with store.write() as connection:
        done = privacy.erase(connection, ADA, customer_site.ADDRESS_KEY, "page", NOW)
    scrubbing.try_now(store, NOW)
    return done


def test_an_erasure_leaves_ids_and_two_hashes(store: Store) -> None:
    plant(store)
    before = customer_site.Look(store).everything()
    assert erase(store)
    after = customer_site.Look(store).everything()
    left = {name: [row for row in rows if CANARY in str(row)] for name, rows in after.items()}
    # The product is not about Ada.
    assert [name for name, rows in left.items() if rows] == ["product"]
    assert [row for row in after["customer"] if row[0] == BEN] == [row for row in before["customer"] if row[0] == BEN]
    with store.read() as connection:
        for email in ("ada@example.com", f"{CANARY}@example.com"):
            hashed = address.hash_address(customer_site.ADDRESS_KEY, email)
            assert suppression.find_suppression(connection, hashed)["reason"] == suppression.ERASED
        row = connection.execute(
            select(dialect.table(Delivery)).where(dialect.table(Delivery).c.customer_id == ADA)
        ).one()
        gone = privacy.person(connection, ADA)
    assert (row.state, row.reason) == ("skipped", "suppressed")
    assert gone is not None
    assert (gone.erased, gone.email, gone.first_name) == (True, None, None)
    assert customer_site.Look(store).given(ADA, "offers") is False


def test_erasing_again_does_nothing(store: Store) -> None:
    plant(store)
    assert erase(store)
    before = customer_site.Look(store).everything()
    assert not erase(store)
    assert customer_site.Look(store).everything() == before


@pytest.mark.parametrize("word", [f"{CANARY}-last", f"{CANARY}-order", f"{CANARY}@example.com", f"{CANARY}-pref"])
def test_no_byte_of_erased_data_is_left_in_the_files(sqlite_url: str, tmp_path: Path, word: str) -> None:
    store = Store.open(sqlite_url)
    plant(store)
    assert any(word.encode() in file.read_bytes() for file in tmp_path.iterdir())
    erase(store)
    assert [file.name for file in tmp_path.iterdir() if word.encode() in file.read_bytes()] == []
    store.close()


def test_an_erasure_deletes_or_empties_every_table_of_customers() -> None:
    about = {name for name, table in SQLModel.metadata.tables.items() if "customer_id" in table.c}
    kept = {"consent", "consent_log", "delivery", "feedback", "erasure", "audit_entry"}
    assert about == kept | {table.name for table in (*rule_schema.IMPORTED_TABLES, *privacy.DELETED)}
