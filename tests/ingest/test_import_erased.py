"""Imports leave the rows of erased customers out, whatever names them, and keep nothing of them in any file."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from mailshot.ingest import importer
from mailshot.profile import address
from mailshot.store import dialect, erasures, privacy, suppression
from mailshot.store.tables import AddressWithdrawal, Consent, Customer, Purchase
from tests.support.import_shop import CUSTOMERS, KEY, PRODUCTS, PURCHASES, Shop

ERASED_AT = datetime(2026, 1, 5, tzinfo=UTC)
CONSENTS = (
    "kind: consents\n    file: consents.csv\n    "
    "columns: {customer: id, email: mail, topic: topic, given: given, at: at, source: source}"
)
SUPPRESSIONS = "kind: suppressions\n    file: gone.csv\n    columns: {customer: id, email: mail}"
REFERRALS = "kind: referrals\n    file: friends.csv\n    columns: {customer: id, referred: friend, at: at}"
EVENTS = "kind: events\n    file: events.csv\n    columns: {customer: id, name: name, at: at}"
HEAD = "id,mail,topic,given,at,source\n"
#: Words of the erased customer's that no file may hold.
CANARIES = ("ann@example.com", "Ann", "R1")


@pytest.fixture
def gone(shop: Shop) -> Shop:
    """Give a shop whose customer 1 has had all data erased."""
    shop.all()
    erase(shop, "1")
    return shop


def erase(shop: Shop, key: str) -> None:
    customer = dialect.table(Customer)
    with shop.store.write() as connection:
        who = connection.scalar(select(customer.c.id).where(customer.c.key == key))
        assert privacy.erase(connection, who, KEY, "page", ERASED_AT)


def held(shop: Shop) -> dict[str, Any]:
    return {name: rows for name, rows in shop.everything().items() if "1" in str(rows)}


def keys(shop: Shop) -> list[str]:
    return [row[0] for row in shop.rows(Customer, "key")]


def test_the_same_files_do_not_bring_an_erased_customer_back(gone: Shop) -> None:
    summary = gone.all()
    assert [report.left_out for report in summary.imports] == [1, 0, 2]
    assert [report.rejected for report in summary.imports] == [0, 0, 0]
    for report in summary.imports:
        counted = report.added + report.changed + report.unchanged + report.repeated + report.rejected
        assert counted + report.left_out == report.read
    assert [key for key in keys(gone) if key == "1"] == []
    assert {row[0] for row in gone.rows(Purchase, "order_key")} == {"R2", "R3"}
    assert not any(word in str(gone.everything()) for word in CANARIES)


def test_no_file_of_the_import_names_them(gone: Shop) -> None:
    gone.put({
        "customers.csv": "id,mail,name,age\n1,ann@example,Ann,many\n9,broken,X,\n",
        "consents.csv": HEAD + "1,ann@example.com,odd,yes,2026-01-01,Ann\n,ann@example.com,offers,yes,2026-01-01,\n",
        "friends.csv": "id,friend,at\n2,1,2026-01-01\n1,2,2026-01-01\n2,77,2026-01-01\n",
        "events.csv": "id,name,at\n1,nonsense Ann,never\n",
    })  # fmt: skip
    summary = gone.load(CUSTOMERS, PURCHASES, CONSENTS, REFERRALS, EVENTS)
    assert [report.left_out for report in summary.imports] == [1, 2, 2, 2, 1]
    assert [report.rejected for report in summary.imports] == [0, 0, 0, 1, 0]
    for file in Path(gone.folder / "rejects").iterdir():
        assert not any(word.encode() in file.read_bytes() for word in CANARIES), file.name


def test_another_key_at_an_erased_address_stays_out_with_its_purchases(gone: Shop) -> None:
    gone.put({
        "customers.csv": "id,mail,name,age\nnew-1,ann@example.com,Ann,30\n",
        "purchases.csv": "id,receipt,sku,at,n,paid\nnew-1,R9,A,2026-02-02,1,1\n",
    })  # fmt: skip
    summary = gone.load(CUSTOMERS, PURCHASES)
    assert [report.left_out for report in summary.imports] == [1, 1]
    assert "new-1" not in keys(gone)


def test_who_shares_the_address_of_an_erased_customer_stays(shop: Shop) -> None:
    shop.put({"customers.csv": "id,mail,name,age\n1,ann@example.com,Ann,30\n2,ann@example.com,Bob,40\n"})
    shop.one(CUSTOMERS)
    erase(shop, "1")
    report = shop.one(CUSTOMERS)
    assert (report.left_out, report.unchanged) == (1, 1)
    assert "2" in keys(shop)


def test_a_withdrawal_at_the_address_is_kept_by_its_hash_alone(gone: Shop) -> None:
    gone.put({"consents.csv": HEAD + "1,other@example.com,offers,no,2026-01-09,form\n1,,offers,no,2026-01-09,form\n"})
    report = gone.one(CONSENTS)
    assert (report.left_out, report.added, report.rejected) == (1, 1, 0)
    assert [row[0] for row in gone.rows(AddressWithdrawal, "address_hash")] == [
        address.hash_address(KEY, "other@example.com")
    ]
    assert gone.rows(Consent, "customer_id") == []


def test_a_list_of_suppressions_may_name_them(gone: Shop) -> None:
    gone.put({"gone.csv": "id,mail\n1,ann@example.com\n1,\n"})
    report = gone.one(SUPPRESSIONS)
    assert (report.left_out, report.rejected, report.unchanged) == (1, 0, 1)
    with gone.store.read() as connection:
        entry = suppression.find_suppression(connection, address.hash_address(KEY, "ann@example.com"))
    assert entry is not None
    assert entry["reason"] == suppression.ERASED


def test_who_signs_up_again_comes_in_without_what_was_before(gone: Shop) -> None:
    with gone.store.write() as connection:
        hashed = address.hash_address(KEY, "ann@example.com")
        assert erasures.welcome_back(connection, hashed, ERASED_AT + timedelta(days=9)) == 1
        assert suppression.lift_suppression(connection, hashed)
    gone.put({
        "purchases.csv": "id,receipt,sku,at,n,paid\n1,R1,A,2026-01-02,2,1.00\n1,R7,A,2026-01-20,1,0.50\n",
        "consents.csv": HEAD + "1,,offers,yes,2026-01-01,form\n1,,recipes,yes,2026-01-15,form\n",
    })  # fmt: skip
    summary = gone.load(CUSTOMERS, PURCHASES, CONSENTS)
    assert [report.left_out for report in summary.imports] == [0, 1, 1]
    assert "1" in keys(gone)
    assert "R1" not in {row[0] for row in gone.rows(Purchase, "order_key")}
    assert gone.rows(Consent, "topic") == [("recipes",)]
    erase(gone, "1")
    assert gone.one(CUSTOMERS).left_out == 1


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_an_erasure_beside_an_import_is_not_undone_by_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL lets both run at once: the import then leaves the customer out in a second try."""
    shop.all()
    load, tries = importer._load, []

    def beside(job: Any, connection: Any, judged: Any) -> Any:
        tries.append(judged)
        loaded = load(job, connection, judged) if len(tries) > 1 else None
        if loaded is None:
            thread = threading.Thread(target=erase, args=(shop, "1"))
            thread.start()
            thread.join(60)
            loaded = load(job, connection, judged)
        return loaded

    monkeypatch.setattr(importer, "_load", beside)
    shop.put({"purchases.csv": "id,receipt,sku,at,n,paid\n1,R8,A,2026-02-02,2,1.00\n"})
    shop.one(PURCHASES)
    assert len(tries) == 2
    assert "R8" not in str(shop.everything())


def test_products_need_no_look_at_the_erased(gone: Shop) -> None:
    assert gone.one(PRODUCTS).left_out == 0
