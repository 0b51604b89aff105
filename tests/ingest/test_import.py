"""Checks what an import puts into the store, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from mailshot.errors import InvalidInput
from mailshot.ingest.import_report import Step
from mailshot.profile import address, bucketing
from mailshot.store import address_changes, fact_corrections, tables
from tests.support.import_shop import CUSTOMERS, FILES, KEY, PRODUCTS, PURCHASES, Shop


def test_customers_products_and_purchases_arrive_exactly(shop: Shop) -> None:
    summary = shop.all()
    assert [(report.kind, report.read, report.added, report.rejected) for report in summary.imports] == [
        ("customers", 3, 3, 0),
        ("products", 2, 2, 0),
        ("purchases", 4, 4, 0),
    ]
    assert shop.rows(tables.Customer, "key", "email", "address_hash", "first_name", "lot", "facts") == [
        (
            "1",
            "ann@example.com",
            address.hash_address(KEY, "ann@example.com"),
            "Ann",
            bucketing.bucket("1"),
            {"age": "30"},
        ),
        ("2", "bob@example.com", address.hash_address(KEY, "bob@example.com"), "Bob", bucketing.bucket("2"), {}),
        ("3", None, None, "Cy", bucketing.bucket("3"), {"age": "50"}),
    ]
    assert shop.rows(tables.Product, "key", "name", "price", "known", "facts") == [
        ("A", "Apple", Decimal("0.5000"), True, {"organic": True}),
        ("B", "Beef", Decimal("12.3456"), True, {"organic": False}),
        ("C", None, None, False, {}),
    ]
    assert shop.rows(tables.Purchase, "order_key", "nth", "at", "quantity", "amount") == [
        ("R1", 1, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), Decimal("2.0000"), Decimal("1.0000")),
        ("R1", 2, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), Decimal("1.0000"), Decimal("0.5000")),
        ("R2", 1, datetime(2026, 1, 3, 10, tzinfo=UTC), Decimal("0.5000"), Decimal("6.1728")),
        # A return is told apart by its moment: of Unix second 1767484800 the first.
        ("R3", -176748480000000001, datetime(2026, 1, 4, tzinfo=UTC), Decimal("-1.0000"), Decimal("-3.0000")),
    ]


def test_the_same_files_twice_change_nothing(shop: Shop) -> None:
    first = shop.all()
    before = shop.everything()
    second = shop.all()
    assert shop.everything() == before
    for first_report, second_report in zip(first.imports, second.imports, strict=True):
        assert (second_report.added, second_report.changed, second_report.unchanged) == (0, 0, first_report.added)


def test_a_changed_file_touches_only_the_rows_that_differ(shop: Shop) -> None:
    shop.all()
    shop.put(
        {"customers.csv": "id,mail,name,age\n1,ann@example.com,Anna,30\n2,bob@example.com,Bob,\n4,d@example.com,Di,1\n"}
    )
    report = shop.one(CUSTOMERS)
    assert (report.added, report.changed, report.unchanged) == (1, 1, 1)
    assert [row[1] for row in shop.rows(tables.Customer, "key", "first_name")] == ["Anna", "Bob", "Cy", "Di"]
    shop.put({"purchases.csv": "id,receipt,sku,at,n,paid\n1,R1,A,2026-01-02 03:04:05,2,1.25\n"})
    report = shop.one(PURCHASES)
    assert (report.added, report.changed, report.unchanged) == (0, 1, 0)


def test_ids_lie_close_together_however_often_a_file_comes_again(shop: Shop) -> None:
    for _ in range(3):
        shop.all()
    shop.put(
        {
            "customers.csv": FILES["customers.csv"] + "0,,Di,1\n",
            "purchases.csv": FILES["purchases.csv"] + "0,R4,0,2026-01-04,1,1\n",
        }
    )
    shop.all()
    for table, number in ((tables.Customer, 4), (tables.Product, 4)):
        ids = [row[0] for row in shop.rows(table, "id")]
        assert sorted(ids) == list(range(min(ids), min(ids) + number))


def test_columns_that_are_not_mapped_are_kept(shop: Shop) -> None:
    shop.all()
    shop.put({"more.csv": "id,children,member,birthday\n1,2,yes,1990-02-28\n2,1.5,no,\n"})
    columns = "{key: id, children: children, member: member, birthday: birthday}"
    more = f"kind: customers\n    file: more.csv\n    columns: {columns}"
    report = shop.one(more)
    assert (report.added, report.changed) == (0, 2)
    rows = shop.rows(tables.Customer, "key", "email", "first_name", "facts")
    facts = {"age": "30", "children": 2.0, "member": True, "birthday": "1990-02-28"}
    assert rows[0] == ("1", "ann@example.com", "Ann", facts)
    assert rows[1][3] == {"children": 1.5, "member": False}
    assert [shop.one(mapping).changed for mapping in (more, CUSTOMERS, more)] == [0, 0, 0]


def test_only_days_that_sort_as_days_do_are_dates(shop: Shop) -> None:
    shop.all()
    odd = ("12026-04-07", "infinity", "-infinity", "0044-03-15 (BC)", "1990-02-31")
    lines = "".join(f"{n},{day}\n" for n, day in enumerate(odd, 10))
    shop.put({"more.csv": f"id,birthday\n1,1990-02-28\n2,28.02.1990\n{lines}"})
    report = shop.one("kind: customers\n    file: more.csv\n    columns: {key: id, birthday: birthday}")
    assert report.rejected == 0
    assert sum(report.warnings.values()) == len(odd) + 1
    days = [row[1].get("birthday") for row in shop.rows(tables.Customer, "key", "facts")]
    assert [day for day in days if day] == ["1990-02-28"]
    assert shop.warned(report, "1990-02-31") == ["birthday is no date that exists"]
    assert len(shop.warned(report, "28.02.1990")) == 1


def test_an_own_fact_that_is_emptied_is_forgotten(shop: Shop) -> None:
    shop.one(CUSTOMERS)
    shop.put({"customers.csv": "id,mail,name,age\n1,ann@example.com,Ann,\n"})
    assert shop.one(CUSTOMERS).changed == 1
    assert shop.rows(tables.Customer, "key", "facts")[0] == ("1", {})
    assert shop.one(CUSTOMERS).changed == 0


def test_two_customers_may_have_one_address_and_are_told_to_share_it(shop: Shop) -> None:
    shop.put({"customers.csv": "id,mail,name,age\n9,Ann@example.com,A,1\n5,ann@EXAMPLE.com,B,2\n7,c@example.com,C,3\n"})
    for _ in range(2):
        report = shop.one(CUSTOMERS)
        assert report.rejected == 0
        assert shop.warned(report) == [
            "mail is also the address of customer '9': they count as one inbox: it gets "
            "one mail per campaign, and none if any of them withdraws consent"
        ]
        assert shop.rows(tables.Customer, "key", "email") == [
            ("5", "ann@example.com"),
            ("7", "c@example.com"),
            ("9", "Ann@example.com"),
        ]
    assert (report.added, report.changed, report.unchanged) == (0, 0, 3)
    prints = dict(shop.rows(tables.Customer, "key", "address_hash"))
    assert prints["5"] == prints["9"] != prints["7"]


def test_an_address_in_use_outside_the_file_is_shared(shop: Shop) -> None:
    shop.one(CUSTOMERS)
    shop.put({"customers.csv": "id,mail,name,age\n8,ann@example.com,Other,\n"})
    report = shop.one(CUSTOMERS)
    assert report.added == 1
    assert len(report.warnings) == 1
    assert "is also the address of customer '1'" in shop.warned(report)[0]
    held = shop.rows(tables.Customer, "key", "email")
    assert {("8", "ann@example.com"), ("1", "ann@example.com")} <= set(held)


def test_of_rows_with_one_key_the_last_counts_and_is_told(shop: Shop) -> None:
    shop.put({"products.csv": "sku,name,price,organic\nA,Old,1,no\nB,Beef,2,no\nA,New,1,no\n"})
    report = shop.one(PRODUCTS)
    assert (report.read, report.added, report.repeated, report.rejected) == (3, 2, 1, 0)
    assert shop.rows(tables.Product, "key", "name") == [("A", "New"), ("B", "Beef")]
    assert shop.rejected(report)[0] | {"line": "2"} == shop.rejected(report)[0]


def test_good_rows_are_kept_and_bad_ones_told_with_line_column_value_and_reason(shop: Shop) -> None:
    shop.all()
    shop.put(
        {
            "purchases.csv": "id,receipt,sku,at,n,paid\n"
            "1,R9,A,2026-02-01,1,1.00\n"
            "1,R9,A,yesterday,1,1.00\n"
            "1,R9,A,2026-02-01,x,1.00\n"
            "1,R9,A,2026-02-01,1,1.00001\n"
            "1,,A,2026-02-01,1,1.00\n"
            "77,R9,A,2026-02-01,1,1.00\n"
            "1,R9,A,2026-02-01,1\n"
            '1,R9,A,"2026-02-01"x,1,1\n'
            "1,R8,A,2026-02-01,1,2.00\n"
        }
    )
    report = shop.one(PURCHASES)
    assert (report.read, report.added, report.rejected) == (9, 2, 7)
    assert sum(report.by_reason.values()) == 7
    rejected = [(row["line"], row["column"], row["value"]) for row in shop.rejected(report)]
    assert rejected == [
        ("3", "at", "yesterday"),
        ("4", "n", "x"),
        ("5", "paid", "1.00001"),
        ("6", "receipt", ""),
        ("7", "id", "77"),
        ("8", "", "1,R9,A,2026-02-01,1"),
        ("9", "", '1,R9,A,"2026-02-01"x,1,1'),
    ]
    assert shop.rejected(report)[2]["reason"] == "has more than 4 decimal places"


def test_no_reject_file_is_left_when_nothing_was_rejected(shop: Shop) -> None:
    shop.put({"products.csv": "sku,name,price,organic\nA,Apple,cheap,no\n"})
    report = shop.one(PRODUCTS)
    assert report.rejects
    shop.put({"products.csv": "sku,name,price,organic\nA,Apple,1,no\n"})
    assert shop.one(PRODUCTS).rejects == ""
    assert list((shop.folder / "rejects").iterdir()) == []


def test_a_dry_run_tells_the_same_and_keeps_nothing(shop: Shop) -> None:
    before = shop.everything()
    dry = shop.all(dry=True)
    assert dry.dry
    assert shop.everything() == before
    wet = shop.all()
    assert [(report.added, report.rejected) for report in dry.imports] == [
        (report.added, report.rejected) for report in wet.imports
    ]


def test_consents_are_logged_once_and_the_newest_stands(shop: Shop) -> None:
    shop.one(CUSTOMERS)
    shop.put(
        {
            "consents.csv": "id,topic,yes,at,how\n1,offers,yes,2026-01-01,web\n1,offers,no,2026-03-01,mail\n"
            "1,offers,yes,2026-02-01,shop\n2,offers,yes,2026-01-01,web\n2,offers,no,2026-01-01,web\n3,offers,maybe,2026-01-01,x\n"
        }
    )
    columns = "{customer: id, topic: topic, given: yes, at: at, source: how}"
    what = f"kind: consents\n    file: consents.csv\n    columns: {columns}"
    report = shop.one(what)
    assert (report.added, report.rejected) == (5, 1)
    assert [row[0] for row in shop.rows(tables.Consent, "given")] == [False, False]
    before = shop.everything()
    assert (shop.one(what).added, shop.everything() == before) == (0, True)
    shop.put({"consents.csv": "id,topic,yes,at,how\n1,offers,yes,2026-02-15,late\n"})
    assert shop.one(what).added == 1
    assert [row[0] for row in shop.rows(tables.Consent, "given")] == [False, False]


def test_past_campaigns_recipients_and_conversions_become_history(shop: Shop) -> None:
    shop.one(CUSTOMERS)
    shop.put(
        {
            "campaigns.csv": "id,from,to\n8,2026-01-01,2026-02-01\n9,2026-03-01,\n",
            "sent.csv": "campaign,customer\n8,1\n8,2\n9,1\n8,1\n7,1\n",
            "redeemed.csv": "customer,campaign,day,coupon\n1,8,2026-01-05,X\n1,8,2026-01-05,Y\n"
            "2,8,2026-01-06,X\n1,7,2026-01-06,X\n",
        }
    )
    imports = (
        "kind: campaigns\n    file: campaigns.csv\n    columns: "
        "{key: 'past-{id}', start: from, end: to, topic: {value: offers}}",
        "kind: recipients\n    file: sent.csv\n    columns: {campaign: 'past-{campaign}', customer: customer}",
        "kind: conversions\n    file: redeemed.csv\n    columns: "
        "{customer: customer, campaign: 'past-{campaign}', at: day, facts.coupon: coupon}",
        "kind: events\n    file: redeemed.csv\n    columns: "
        "{customer: customer, name: {value: redeemed}, at: day, facts.coupon: coupon}",
    )
    summary = shop.load(*imports)
    assert [(report.added, report.repeated, report.rejected) for report in summary.imports] == [
        (2, 0, 0),
        (3, 1, 1),
        (3, 0, 1),
        (4, 0, 0),
    ]
    started = datetime(2026, 1, 1, tzinfo=UTC)
    runs = shop.rows(tables.Run, "campaign", "state", "topic", "as_of", "finished_at")
    assert runs[0] == ("past-8", "past", "offers", started, datetime(2026, 2, 1, tzinfo=UTC))
    assert {row[0] for row in shop.rows(tables.Frozen, "digest")} == {
        row[0] for row in shop.rows(tables.Run, "definition")
    }
    assert set(shop.rows(tables.Delivery, "state", "settled_at")) == {
        ("sent", started),
        ("sent", datetime(2026, 3, 1, tzinfo=UTC)),
    }
    assert [row[1] for row in shop.rows(tables.Feedback, "kind", "detail")] == [
        {"coupon": "X"},
        {"coupon": "X"},
        {"coupon": "Y"},
    ]
    assert len(shop.rows(tables.Event, "key")) == 4
    before = shop.everything()
    again = shop.load(*imports)
    assert shop.everything() == before
    assert [report.added + report.changed for report in again.imports] == [0, 0, 0, 0]


def test_a_fault_in_the_last_file_leaves_the_first_unwritten(shop: Shop) -> None:
    before = shop.everything()
    (shop.folder / "purchases.csv").unlink()
    with pytest.raises(InvalidInput, match=r"'purchases\.csv' does not exist"):
        shop.all()
    assert shop.everything() == before


def test_an_interruption_leaves_a_file_wholly_out(shop: Shop) -> None:
    rows = "".join(f"{n},R{n},A,2026-01-01,1,1\n" for n in [1] * 30_000)
    shop.load(CUSTOMERS, PRODUCTS)
    before = shop.everything()
    shop.put({"purchases.csv": "id,receipt,sku,at,n,paid\n" + rows})

    def interrupt(step: Step) -> None:
        if step.total and step.done > step.total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shop.one(PURCHASES, progress=interrupt)
    assert shop.everything() == before


def test_progress_runs_up_to_its_total(shop: Shop) -> None:
    seen: list[Step] = []
    shop.all(progress=seen.append)
    last = {step.label: step for step in seen if step.total}
    assert {step.done == step.total for step in last.values()} == {True}
    assert "purchases from purchases.csv" in last


def test_only_the_owner_reads_what_was_rejected(shop: Shop) -> None:
    shop.put({"products.csv": "sku,name,price,organic\nA,Apple,cheap,no\n"})
    shop.one(PRODUCTS)
    assert (shop.folder / "rejects").stat().st_mode & 0o077 == 0


def test_a_key_of_erased_customers_is_refused(shop: Shop) -> None:
    shop.one(CUSTOMERS)
    shop.put({"customers.csv": "id,mail,name,age\nerased:1,new@example.com,New,\n4,dan@example.com,Dan,\n"})
    report = shop.one(CUSTOMERS)
    assert (report.added, report.rejected) == (1, 1)
    assert shop.rejected(report)[0]["reason"].startswith("begins with erased:")


def test_what_a_customer_corrected_is_not_imported_again(shop: Shop) -> None:
    people = CUSTOMERS.replace("age: age", "age: age, children: children, member: member, birthday: born")
    head = "id,mail,name,age,children,member,born\n"
    shop.put({"customers.csv": head + "1,ann@example.com,Ann,30,1.5,yes,1990-01-02\n2,bob@example.com,Bob,40,2,no,\n"})
    shop.one(people)
    (ann,) = [row[0] for row in shop.rows(tables.Customer, "id", "key") if row[1] == "1"]
    corrections = {"age": None, "children": 3, "member": False, "birthday": "1991-02-03"}
    with shop.store.write() as connection:
        fact_corrections.correct_facts(connection, ann, corrections, "preference page", datetime.now(UTC))
    report = shop.one(people)
    assert (report.changed, report.unchanged) == (0, 2)
    differs = "differs from what the customer said on the preference page: imported without it"
    assert report.warnings == {f"{column} {differs}": 1 for column in ("age", "children", "member", "born")}
    facts = dict(shop.rows(tables.Customer, "key", "facts"))
    assert facts["1"] == {"children": 3, "member": False, "birthday": "1991-02-03"}
    assert facts["2"] == {"age": "40", "children": 2, "member": False}
    # A file that says the same as the customer is no cause for a warning.
    shop.put({"customers.csv": head + "1,ann@example.com,Anna,,3,no,1991-02-03\n"})
    assert shop.one(people).warnings == {}
    assert dict(shop.rows(tables.Customer, "key", "first_name"))["1"] == "Anna"


def test_an_address_that_the_customer_replaced_is_not_imported_again(shop: Shop) -> None:
    shop.one(CUSTOMERS)
    (ann,) = [row[0] for row in shop.rows(tables.Customer, "id", "key") if row[1] == "1"]
    new = address_changes.NewAddress("ann@new.example", address.hash_address(KEY, "ann@new.example"))
    with shop.store.write() as connection:
        assert address_changes.ask(connection, ann, 1, new, "en", datetime.now(UTC)) is None
        change = connection.execute(address_changes.CHANGE.select()).mappings().one()
    # Before the confirmation a file counts as ever.
    assert shop.one(CUSTOMERS).warnings == {}
    with shop.store.write() as connection:
        assert address_changes.confirm(connection, change, "page", datetime.now(UTC))
    report = shop.one(CUSTOMERS)
    assert (report.changed, report.unchanged) == (0, 3)
    assert report.warnings == {
        "mail is an address that the customer has replaced by another one: imported without it": 1
    }
    assert dict(shop.rows(tables.Customer, "key", "email"))["1"] == "ann@new.example"
    # A third address is news from the shop.
    shop.put({"customers.csv": FILES["customers.csv"].replace("ann@example.com", "ann@third.example")})
    assert shop.one(CUSTOMERS).warnings == {}
    assert dict(shop.rows(tables.Customer, "key", "email"))["1"] == "ann@third.example"
