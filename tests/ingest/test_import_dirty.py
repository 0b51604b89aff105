"""Checks files as other programs write them: nothing wrong in them is taken silently, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from mailshot.errors import InvalidInput
from mailshot.store import tables
from tests.support.import_shop import CUSTOMERS, PRODUCTS, PURCHASES, Shop

INPUTS = Path(__file__).parents[1] / "inputs"


@pytest.fixture
def dirty(shop: Shop) -> Shop:
    shop.put({path.name: path.read_bytes() for path in (INPUTS / "dirty").iterdir()})
    shop.put({"I03.csv": (INPUTS / "other/I03-decimal-comma.csv").read_bytes()})
    return shop


def customers(file: str, *more: str, options: str = "", **columns: str) -> str:
    chosen = ", ".join([*(f"{name}: {column}" for name, column in columns.items()), *more])
    return f"kind: customers\n    file: {file}\n    columns: {{{chosen}}}{options}"


def facts(shop: Shop, name: str) -> dict[str, object]:
    return {key: held.get(name) for key, held in shop.rows(tables.Customer, "key", "facts")}


def test_a_german_export(dirty: Shop) -> None:
    report = dirty.one(
        customers(
            "bom-semicolon.csv",
            key="Kunden Nr",
            email="E-Mail Adresse",
            first_name="Vorname",
            age="Ort",
            children="{column: Punkte, decimal: ',', thousands: '.'}",
            member="{column: VIP, yes: [ja, x, 1], no: nein}",
        )
    )
    assert (report.read, report.added, report.rejected) == (5, 5, 0)
    assert facts(dirty, "children") == {"1": 1234.5, "2": 12.5, "3": 0, "4": None, "5": None}
    assert facts(dirty, "member") == {"1": True, "2": False, "3": True, "4": None, "5": True}
    assert facts(dirty, "age")["2"] == "Bad\nHomburg"
    warnings = dirty.warned(report)
    assert len(warnings) == 2
    assert warnings[0].startswith("E-Mail Adresse is also the address of customer '2'")
    assert warnings[1] == "Punkte is not a number as in 1.234,56"
    names = dict(dirty.rows(tables.Customer, "key", "first_name"))
    assert (names["1"], names["5"]) == ("Änne", "Dora 🎉")


def test_a_word_for_unknown_is_no_fault(dirty: Shop) -> None:
    points = "{column: Punkte, decimal: ',', thousands: '.', values: {'NULL': }}"
    report = dirty.one(customers("bom-semicolon.csv", key="Kunden Nr", children=points))
    assert report.warnings == {}
    assert facts(dirty, "children")["5"] is None


@pytest.mark.parametrize("file", ["cp1252.csv", "utf16-tabs.csv", "sep-line.csv"])
def test_encodings(dirty: Shop, file: str) -> None:
    what = customers(file, key="Nr", email="Mail", first_name="Vorname")
    if file == "cp1252.csv":
        with pytest.raises(InvalidInput) as raised:
            dirty.one(what)
        assert "encoding: cp1252" in raised.value.problems[0].remedy
        what += "\n    encoding: cp1252"
    report = dirty.one(what)
    assert (report.rejected, report.warnings) == (0, {})
    names = {"cp1252.csv": ["Jürgen", "Zoë €"]}.get(file, ["Jürgen"])
    assert [row[1] for row in dirty.rows(tables.Customer, "key", "first_name")] == names


def test_lines_are_counted_below_a_separator_line(dirty: Shop) -> None:
    dirty.put({"sep.csv": 'sep=;\r\nid;age;children\r\n1;x;1\r\n2;"a\r\nb";many\r\n3;x;no\r\n'})
    report = dirty.one(customers("sep.csv", key="id", age="age", children="children"))
    assert [row["line"] for row in dirty.rejected(report)] == ["4", "6"]
    dirty.put({"sep.csv": "sep=;\r\nid;age;children\r\n1;x;1\r\n2;a;many\r\n"})
    report = dirty.one(customers("sep.csv", key="id", age="age", children="children"))
    assert [row["line"] for row in dirty.rejected(report)] == ["4"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1", "cp1252", "utf-8", "utf-8-sig", "shift_jis"])
def test_a_named_encoding(shop: Shop, encoding: str) -> None:
    word = "日本" if encoding == "shift_jis" else "Jürgen"
    shop.put({"customers.csv": f"id,mail,name,age\n1,,{word},\n".encode(encoding)})
    report = shop.one(f"{CUSTOMERS}\n    encoding: {encoding}")
    assert report.added == 1
    assert shop.rows(tables.Customer, "first_name") == [(word,)]


def test_a_wrong_encoding_is_told(shop: Shop) -> None:
    shop.put({"customers.csv": "id,mail,name,age\n1,,Jürgen,\n".encode("cp1252")})
    with pytest.raises(InvalidInput, match="not utf-16 text"):
        shop.one(f"{CUSTOMERS}\n    encoding: utf-16")
    with pytest.raises(InvalidInput, match="'klingon' is not an encoding"):
        shop.one(f"{CUSTOMERS}\n    encoding: klingon")


SIX_WAYS = '["%m/%d/%Y", "%d.%m.%Y", "%d.%m.%y", "%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y%m%d", excel]'


def test_one_column_of_many_dates(dirty: Shop) -> None:
    birthday = "{column: Geb, format: " + SIX_WAYS + "}"
    report = dirty.one(customers("dates.csv", key="Nr", email="Mail", birthday=birthday))
    assert (report.added, report.rejected) == (8, 0)
    day = "1980-12-31"
    assert facts(dirty, "birthday") == {
        "1": day, "2": day, "3": "1980-01-01", "4": "1979-12-31", "5": day, "6": day, "7": day, "8": None,
    }  # fmt: skip
    (warning,) = dirty.warned(report)
    assert warning == (
        "Geb is no date that exists (formats tried: %m/%d/%Y, %d.%m.%Y, %d.%m.%y, %Y-%m-%d, %Y-%m-%d %H:%M:%S, %Y%m%d, "
        "excel)"
    )


def test_serial_days_only_where_the_mapping_names_them(dirty: Shop) -> None:
    report = dirty.one(customers("dates.csv", key="Nr", birthday="Geb"))
    assert {key for key, day in facts(dirty, "birthday").items() if day} == {"5", "6"}
    assert len(dirty.warned(report)) == 6


# A cell, the formats, and the day it means.
DAYS = {
    ("1.1.80", "%d.%m.%Y"): None,
    ("1.1.80", "%d.%m.%y"): "1980-01-01",
    ("01.01.1980", "%d.%m.%Y"): "1980-01-01",
    ("1980112", "%Y%m%d"): None,
    ("19801102", "%Y%m%d"): "1980-11-02",
    ("19801131", "%Y%m%d"): None,
    ("31. March 1980", "%d. %B %Y"): "1980-03-31",
    ("61", "excel"): "1900-03-01",
    ("60", "excel"): None,
    ("29220.5", "excel"): "1979-12-31",
    ("2958466", "excel"): None,
    ("-3", "excel"): None,
    ("80-1-1", ""): None,
    ("1980/12/31", ""): "1980-12-31",
    ("02/03/1980", "%d/%m/%Y"): "1980-03-02",
    ("30/02/1980", "%d/%m/%Y"): None,
    ("29/02/1980", "%d/%m/%Y"): "1980-02-29",
    ("29/02/1981", "%d/%m/%Y"): None,
}


def test_days_are_read_as_the_format_says_or_not_at_all(shop: Shop) -> None:
    for cell, form in DAYS:
        shop.put({"d.csv": f'id,day\n1,"{cell}"\n'})
        birthday = f'{{column: day, format: "{form}"}}' if form else "day"
        shop.one(customers("d.csv", key="id", birthday="{value: 2000-01-01}"))
        report = shop.one(customers("d.csv", key="id", birthday=birthday))
        # A known customer keeps what was there when the cell cannot be read.
        assert facts(shop, "birthday") == {"1": DAYS[cell, form] or "2000-01-01"}, (cell, form)
        assert len(shop.warned(report)) == (DAYS[cell, form] is None)


def test_a_reason_never_gives_the_refused_shape_as_its_example(shop: Shop) -> None:
    cases = (("2026-02-31", "", "is no date that exists"), ("31.02.2026", "%d.%m.%Y", "is no date that exists"))
    for cell, form, reason in cases:
        shop.put({"d.csv": f"id,day\n1,{cell}\n"})
        birthday = f'{{column: day, format: "{form}"}}' if form else "day"
        (warning,) = shop.warned(shop.one(customers("d.csv", key="id", birthday=birthday)))
        assert reason in warning
        assert "2026-03-31" not in warning
    shop.put({"d.csv": "id,day\n1,2026-03-31\n"})
    (warning,) = shop.warned(shop.one(customers("d.csv", key="id", birthday='{column: day, format: "%d.%m.%Y"}')))
    assert "as in 31.03.2026" in warning
    shop.put({"d.csv": "id,day\n1,1812-06-24\n"})
    (warning,) = shop.warned(shop.one(customers("d.csv", key="id", joined_at="day")))
    assert warning == "day lies before 1900 or after 2199"


@pytest.mark.parametrize(
    "form",
    [
        "blah",
        "%Q",
        "%Y",
        "%H:%M",
        "%d.%m",
        "dd.mm.yyyy",
        "%",
        "%d.%m.%Y %I:%M",
        "YYYY-MM-DD",
        "%Y-%m",
        '["%d.%m.%Y", "%q"]',
    ],
)
def test_a_format_that_means_nothing_is_refused_at_its_line(shop: Shop, form: str) -> None:
    shop.put({"d.csv": "id,day\n1,x\n"})
    quoted = form if form.startswith("[") else f'"{form}"'
    for field in ("birthday", "joined_at"):
        with pytest.raises(InvalidInput, match="is not a date format") as raised:
            shop.one(customers("d.csv", key="id", **{field: f"{{column: day, format: {quoted}}}"}))
        (problem,) = raised.value.problems
        assert problem.line == 6
        assert "%d.%m.%Y" in problem.remedy


def test_times_in_several_formats(shop: Shop) -> None:
    forms = '["%d.%m.%Y %H:%M", "%d.%m.%Y", "%Y-%m-%dT%H:%M:%S%z", excel]'
    shop.put({"d.csv": "id,t\n1,31.03.2026 18:05\n2,31.03.2026\n3,2026-03-31T18:05:00+0530\n4,46112.75\n5,x\n"})
    report = shop.one(customers("d.csv", key="id", joined_at=f"{{column: t, format: {forms}}}"), zone="Europe/Oslo")
    stamps = {key: at and at.strftime("%d %H:%M") for key, at in shop.rows(tables.Customer, "key", "joined_at")}
    assert stamps == {"1": "31 16:05", "2": "30 22:00", "3": "31 12:35", "4": "31 16:00", "5": None}
    assert len(shop.warned(report)) == 1


def test_numbers_as_the_mapping_says(dirty: Shop) -> None:
    points = "{column: Punkte, decimal: '.', thousands: ',', currency: [$, EUR]}"
    report = dirty.one(customers("numbers.csv", key="Nr", children=points))
    assert facts(dirty, "children") == {"1": 1234.5, "2": 1234.5, "3": 12.5, "4": None, "5": 1.234, "6": -5}
    assert dirty.warned(report) == ["Punkte is not a number as in 1,234.56"]
    points = "{column: Punkte, decimal: ',', thousands: '.', currency: [$, EUR]}"
    dirty.one(customers("numbers.csv", key="Nr", children=points))
    assert facts(dirty, "children") | {"1": 0, "2": 0, "3": 0} == {
        "1": 0,
        "2": 0,
        "3": 0,
        "4": 12.5,
        "5": 1234,
        "6": -5,
    }


def test_a_number_that_may_be_two_is_refused_at_the_mapping(dirty: Shop) -> None:
    before = dirty.everything()
    with pytest.raises(InvalidInput) as raised:
        dirty.one(customers("numbers.csv", key="Nr", children="Punkte"))
    (problem,) = raised.value.problems
    assert problem.line == 6
    assert "'1.234' in column 'Punkte' (line 6) could mean 1.234 or 1234: '12,50 EUR'" in problem.message
    assert 'decimal: ","' in problem.remedy
    assert dirty.everything() == before


# File, columns, and the value; None: refused.
AMBIGUOUS = {
    "another column": ("id,n,o\n1,1.234,\n2,,12_50\n", "children: n", None),
    "a column that is not mapped": ("id,n,o\n1,1.234,x\n2,,-0_5\n", "children: n", None),
    "grouped": ("id,n\n1,1.234\n2,1.234_50\n", "children: n", None),
    "semicolons": ("id;n\n1;1.234\n2;567\n", "children: n", None),
    "semicolons and a fraction": ("id;n\n1;1.234\n2;56.7\n", "children: n", 1.234),
    "semicolons and a leading zero": ("id;n\n1;1.234\n2;0.567\n", "children: n", 1.234),
    "commas": ("id,n\n1,1.234\n2,567\n", "children: n", 1.234),
    "declared": ("id;n\n1;1.234\n2;12_5\n", "children: {column: n, decimal: '.'}", 1.234),
    "declared the other way": ("id;n\n1;1.234\n2;12_5\n", "children: {column: n, decimal: ',', thousands: '.'}", 1234),
    "no thousands named": ("id;n\n1;12.345\n2;12_5\n", "children: {column: n, decimal: ','}", "nothing"),
    "not three digits": ("id,n\n1,1.23\n2,\n3,12_50\n", "children: n", 1.23),
    "text with commas": ("id,n,o\n1,1.234,Oslo_ 12\n", "children: n", 1.234),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_ambiguous_numbers(shop: Shop, name: str) -> None:
    body, columns, value = AMBIGUOUS[name]
    # '_' stands for a comma in a cell.
    quoted = "\n".join(
        (";" if ";" in line else ",").join(f'"{cell}"' for cell in line.replace(";", ",").split(","))
        for line in body.strip().split("\n")
    ).replace("_", ",")
    shop.put({"n.csv": quoted + "\n"})
    what = f"kind: customers\n    file: n.csv\n    columns: {{key: id, {columns}}}"
    if value is None:
        with pytest.raises(InvalidInput, match="could mean"):
            shop.one(what)
        assert shop.rows(tables.Customer, "key") == []
    else:
        shop.one(what)
        assert facts(shop, "children")["1"] == (None if value == "nothing" else value)


def test_amounts_with_a_decimal_comma(dirty: Shop) -> None:
    dirty.put({"customers.csv": "id,mail,name,age\n1,,A,\n", "products.csv": "sku,name,price,organic\np1,P,1,no\n"})
    dirty.load(CUSTOMERS, PRODUCTS)
    columns = "{customer: id, order: order, product: product, at: at, quantity: quantity, amount: AMOUNT}"
    what = f"kind: purchases\n    file: I03.csv\n    columns: {columns}"
    assert dirty.one(what.replace("AMOUNT", "amount")).rejected == 2
    report = dirty.one(what.replace("AMOUNT", "{column: amount, decimal: ',', thousands: ' '}"))
    assert report.rejected == 0
    assert [row[0] for row in dirty.rows(tables.Purchase, "amount")] == [Decimal("12.5000"), Decimal("1234.5000")]
    # The same for the whole file.
    assert dirty.one(what.replace("AMOUNT", "amount") + "\n    decimal: ','\n    thousands: ' '").unchanged == 2


NUMBERS = {
    ("1'234.50", "decimal: '.', thousands: \"'\""): 1234.5,
    ("1\u202f234,50", "decimal: ',', thousands: ' '"): 1234.5,
    ("1\u00a0234,50", "decimal: ',', thousands: ' '"): 1234.5,
    ("1.23.456", "decimal: ',', thousands: '.'"): None,
    ("12.34", "decimal: ',', thousands: '.'"): None,
    ("1,2,3", "decimal: ','"): None,
    ("€ 12,50", "decimal: ',', currency: €"): 12.5,
    ("-€12,50", "decimal: ',', currency: €"): -12.5,
    ("12,50eur", "decimal: ',', currency: [€, EUR]"): 12.5,
    ("12,50 USD", "decimal: ',', currency: [€, EUR]"): None,
    ("EUR", "currency: EUR"): None,
    ("$", "currency: $"): None,
    ("1.000", "thousands: '.'"): 1000,
    ("1,5", "thousands: '.'"): 1.5,
    ("1,000", "thousands: ','"): 1000,
    ("(5)", "decimal: '.'"): None,
    (",5", "decimal: ','"): 0.5,
    ("+1", "decimal: ','"): 1,
    ("1e3", "decimal: ','"): None,
}


def test_numbers_are_exact_or_told(shop: Shop) -> None:
    for cell, options in NUMBERS:
        shop.put({"n.csv": f'id,n\n1,"{cell}"\n'})
        shop.one(customers("n.csv", key="id", children="{value: 7}"))
        report = shop.one(customers("n.csv", key="id", children=f"{{column: n, {options}}}"))
        expected = NUMBERS[cell, options]
        assert facts(shop, "children") == {"1": 7 if expected is None else expected}, (cell, options)
        assert len(shop.warned(report)) == (expected is None)


def test_every_wrong_cell_of_a_row_is_told_and_the_row_comes_in(dirty: Shop) -> None:
    what = customers("optional-cell.csv", key="key", email="email", birthday="birthday", children="points")
    report = dirty.one(what)
    assert (report.added, report.rejected) == (3, 0)
    assert [(row["line"], row["column"], row["value"]) for row in dirty.rejected(report)] == [
        ("2", "birthday", "31/12/1980"), ("3", "points", "many"), ("4", "birthday", "never"), ("4", "points", "lots"),
    ]  # fmt: skip
    assert dirty.rows(tables.Customer, "key", "email", "facts") == [
        ("O1", "o1@example.com", {"children": 5}),
        ("O2", "o2@example.com", {"birthday": "1980-12-31"}),
        ("O3", "o3@example.com", {}),
    ]
    fixed = dirty.to_fix(report)
    assert [row["key"] for row in fixed] == ["O1", "O2", "O3"]
    assert fixed[2]["reject_reason"].startswith("imported without: birthday is not a date")
    assert "points is not a number" in fixed[2]["reject_reason"]


def test_a_known_customer_keeps_what_a_wrong_cell_was_about(shop: Shop) -> None:
    columns = {"key": "id", "email": "mail", "first_name": "name", "birthday": "day", "children": "n", "member": "m"}
    shop.put({"c.csv": "id,mail,name,day,n,m\n1,a@b.co,Ann,1980-12-31,2,yes\n2,b@b.co,Bo,1981-01-01,3,no\n"})
    shop.one(customers("c.csv", **columns))
    shop.put(
        {"c.csv": f"id,mail,name,day,n,m\n1,nobody,Anna,x,y,z\n2,,{'b' * 600},,4,yes\n3,c@b.co,Cy,x,1,no\n4,q,Di,,,\n"}
    )
    for changed in (2, 0):
        report = shop.one(customers("c.csv", **columns))
        assert (report.changed, report.rejected) == (changed, 0)
        assert report.added + report.changed + report.unchanged == report.read
    assert shop.rows(tables.Customer, "key", "email", "first_name", "facts") == [
        ("1", "a@b.co", "Anna", {"birthday": "1980-12-31", "children": 2, "member": True}),
        ("2", None, "Bo", {"children": 4, "member": True}),
        ("3", "c@b.co", "Cy", {"children": 1, "member": False}),
        ("4", None, "Di", {}),
    ]
    assert len(shop.warned(report)) == 7


def test_a_key_that_cannot_be_read_still_costs_the_row_and_all_is_told(shop: Shop) -> None:
    shop.put({"c.csv": "id,mail,day,n\n,nobody,x,y\n2,b@b.co,1980-01-01,1\n"})
    report = shop.one(customers("c.csv", key="id", email="mail", birthday="day", children="n"))
    assert (report.added, report.rejected) == (1, 1)
    assert {row["column"] for row in shop.rejected(report)} == {"day", "id", "mail", "n"}


def test_all_faults_of_a_purchase_are_told_at_once(shop: Shop) -> None:
    shop.all()
    shop.put({"purchases.csv": "id,receipt,sku,at,n,paid\n77,R9,A,never,some,\n"})
    report = shop.one(PURCHASES)
    assert report.rejected == 1
    assert sorted(row["column"] for row in shop.rejected(report)) == ["at", "id", "n", "paid"]


def test_rejected_rows_are_fixed_and_read_again(shop: Shop) -> None:
    shop.all()
    header = "id;receipt;sku;at;n;paid;note\n"
    lines = (
        '1;R9;A;2026-02-01;1;1.00;"a;\nb"', "1;R9;A;soon;2;2.00;ü", "1;R9;A;2026-02-01;3;3.00;",
        "9;R8;A;2026-02-01;1;1;x", "1;R7",
    )  # fmt: skip
    shop.put({"purchases.csv": (header + "\n".join(lines)).encode("cp1252")})
    what = f"{PURCHASES}\n    encoding: cp1252"
    report = shop.load(CUSTOMERS, what).imports[1]
    assert (report.added, report.rejected) == (2, 3)
    rows = shop.to_fix(report, ";")
    # The other lines of the same product and order come along: they are told apart by their turn.
    assert [(row["id"], row["n"], row["note"], row["reject_line"]) for row in rows] == [
        ("1", "1", "a;\nb", "2"), ("1", "2", "ü", "4"), ("1", "3", "", "5"), ("9", "1", "x", "6"), ("", "", "", "7"),
    ]  # fmt: skip
    path = Path(report.rejects)
    text = path.read_text("utf-8-sig").replace("soon", "2026-02-01").replace("9;R8", "2;R8")
    # An editor may drop the mark.
    path.write_text(text, encoding="utf-8")
    dry = shop.load(CUSTOMERS, what, file=path, dry=True).imports[0]
    assert path.read_text("utf-8-sig") == text
    again = shop.load(CUSTOMERS, what, file=path).imports[0]
    for seen in (dry, again):
        assert (seen.kind, seen.read, seen.added, seen.rejected) == ("purchases", 5, 2, 1)
    kept = [row for row in shop.rows(tables.Purchase, "order_key", "nth", "quantity") if row[0] in ("R9", "R8")]
    assert kept == [("R8", 1, 1), ("R9", 1, 1), ("R9", 2, 2), ("R9", 3, 3)]
    # What is left is the line that is no row; nothing of an earlier round stays in it.
    (left,) = shop.to_fix(again, ";")
    assert left["reject_reason"].count("rejected: ") == 1
    assert list(left) == [*header.strip().split(";"), "reject_line", "reject_reason"]


def test_rows_without_a_value_are_fixed_and_read_again(dirty: Shop) -> None:
    what = customers("optional-cell.csv", key="key", email="email", birthday="birthday", children="points")
    report = dirty.one(what)
    path = Path(report.rejects)
    fixes = {"31/12/1980": "1980-12-31", "many": "7", "never": "1970-01-01", "lots": "9"}
    text = path.read_text("utf-8-sig")
    for wrong, right in fixes.items():
        text = text.replace(f",{wrong},", f",{right},")
    path.write_text(text, encoding="utf-8")
    again = dirty.one(what, file=path)
    assert (again.changed, again.rejected, again.rejects, again.notes) == (3, 0, "", "")
    assert facts(dirty, "children") == {"O1": 5, "O2": 7, "O3": 9}
    assert not path.exists()


def test_a_file_of_rejected_rows_names_its_import(dirty: Shop) -> None:
    with pytest.raises(InvalidInput, match="does not say which of the 2 imports"):
        dirty.load(CUSTOMERS, PRODUCTS, file=dirty.folder / "dates.csv")
    with pytest.raises(InvalidInput, match="does not exist"):
        dirty.load(CUSTOMERS, PRODUCTS, file=dirty.folder / "shop-products-2.csv")


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_rejected_rows_of_other_files_are_read_again_too(shop: Shop, suffix: str) -> None:
    values = "(1::DOUBLE, 'x', TIMESTAMP '2026-01-01 10:00:00', 1.5::DOUBLE), (2, 'y', NULL, 0.1)"
    path = shop.folder / f"c.{suffix}"
    form = "json" if suffix == "jsonl" else "parquet"
    with duckdb.connect() as session:
        session.execute(f"COPY (SELECT * FROM (VALUES {values}) t(id, day, since, n)) TO '{path}' (FORMAT {form})")
    what = customers(f"c.{suffix}", key="id", birthday="day", joined_at="since", children="n")
    report = shop.one(what)
    assert len(shop.warned(report)) == 2
    fixed = Path(report.rejects)
    fixed.write_text(fixed.read_text("utf-8-sig").replace(",x,", ",1980-01-01,"), encoding="utf-8-sig")
    before = shop.rows(tables.Customer, "key", "joined_at")
    again = shop.one(what, file=fixed)
    assert again.rejected == 0
    assert facts(shop, "birthday") == dict.fromkeys(facts(shop, "birthday")) | {before[0][0]: "1980-01-01"}
    assert shop.rows(tables.Customer, "key", "joined_at") == before


def test_the_notes_show_what_the_cell_says(shop: Shop) -> None:
    shop.all()
    shop.put({"purchases.csv": "id;receipt;sku;at;n;paid\n1;R7;A;2026-02-01;-1;8,50\n"})
    report = shop.one(PURCHASES.replace("amount: paid", "amount: {column: paid, decimal: ','}"))
    assert len(shop.warned(report, "8,50")) == 1
    shop.put({"c.csv": "id,given,at\n1,yes,02.09.2027 08:00\n2,no,02.09.2027 08:00\n"})
    at = "at: {column: at, format: '%d.%m.%Y %H:%M'}"
    columns = f"{{customer: id, topic: {{value: offers}}, given: given, {at}, source: {{value: x}}}}"
    now = datetime(2026, 11, 27, tzinfo=UTC)
    report = shop.one(f"kind: consents\n    file: c.csv\n    columns: {columns}", zone="Europe/Berlin", now=now)
    assert [(row["line"], row["value"]) for row in shop.rejected(report)] == [
        ("2", "02.09.2027 08:00"),
        ("3", "02.09.2027 08:00"),
    ]


# A cell of each column, and what is kept of it; None: the value that the customer has.
CODES = {
    "country": {"no": "NO", " GB ": "GB", "uk": "GB", "NOR": "NO", "XK": "XK", "Norway": None, "ZZ": None, "12": None},
    "language": {
        "EN": "en", "en_GB": "en-GB", "ZH-hant-tw": "zh-Hant-TW", "deu": "de", "es-419": "es-419", "nb": "nb",
        "deutsch": None, "xx": None, "en-ZZ": None, "und": None, "x-y": None,
    },
    "time_zone": {"Europe/oslo": "Europe/Oslo", "utc": "UTC", "America/new york": "America/New_York", "Mars/X": None},
}  # fmt: skip


@pytest.mark.parametrize("field", CODES)
def test_codes_are_written_as_meant_or_told(shop: Shop, field: str) -> None:
    usual = {"country": "SE", "language": "sv", "time_zone": "Europe/Paris"}[field]
    cells = list(CODES[field])
    shop.put({"c.csv": "id,code\n" + "".join(f"{n},{cell}\n" for n, cell in enumerate(cells, 10))})
    shop.one(customers("c.csv", key="id", **{field: f"{{value: {usual}}}"}))
    report = shop.one(customers("c.csv", key="id", **{field: "code"}))
    held = [value for _, value in shop.rows(tables.Customer, "key", field)]
    assert held == [CODES[field][cell] or usual for cell in cells]
    assert [row["value"] for row in shop.rejected(report)] == [cell for cell in cells if CODES[field][cell] is None]
    assert report.rejected == 0
    again = shop.one(customers("c.csv", key="id", **{field: "code"}))
    assert (again.added, again.changed) == (0, 0)


def test_codes_of_the_mapping_are_refused_at_their_line(shop: Shop) -> None:
    shop.put({"c.csv": "id,code\n1,x\n"})
    for column in ("{value: Norway}", "{column: code, values: {x: ZZ}}"):
        with pytest.raises(InvalidInput, match="is not a country code") as raised:
            shop.one(customers("c.csv", key="id", country=column))
        assert raised.value.problems[0].line == 6
    assert shop.one(customers("c.csv", key="id", country="{value: no}", language="{value: en_GB}")).added == 1
    assert shop.rows(tables.Customer, "country", "language") == [("NO", "en-GB")]


def test_what_is_dated_after_the_import_is_told(shop: Shop) -> None:
    now = datetime(2026, 6, 1, 12, tzinfo=UTC)
    shop.all(now=now)
    rows = "id,receipt,sku,at,n,paid\n1,R7,A,2026-06-01 14:00,1,8\n1,R8,A,2026-06-01 14:00:01,1,8\n"
    shop.put(
        {
            "purchases.csv": rows,
            "e.csv": "id,at\n1,2027-01-01\n1,2026-01-01\n",
        }
    )
    report = shop.one(PURCHASES, now=now, zone="Europe/Berlin")
    assert (report.added, shop.warned(report)) == (2, ["at is after this import; counts from that date on"])
    assert len(shop.warned(report, "2026-06-01 14:00:01")) == 1
    report = shop.one(
        "kind: events\n    file: e.csv\n    columns: {customer: id, name: {value: viewed}, at: at}", now=now
    )
    assert (report.added, shop.warned(report, "2027-01-01")) == (
        2,
        ["at is after this import; counts from that date on"],
    )


def test_dates_of_people_lie_in_a_sensible_range(shop: Shop) -> None:
    days = {
        "0001-01-01": "lies before 1900 or after 2199", "1899-12-31": "lies before 1900 or after 2199",
        "9999-12-31": "lies before 1900 or after 2199", "2031-01-01": "is in the future", "1900-01-01": "",
        "2026-06-01": "", "1990-02-31": "is no date that exists",
    }  # fmt: skip
    shop.put({"d.csv": "id,day\n" + "".join(f"{n},{day}\n" for n, day in enumerate(days, 10))})
    report = shop.one(customers("d.csv", key="id", birthday="day"), now=datetime(2026, 6, 1, 12, tzinfo=UTC))
    assert list(facts(shop, "birthday").values()) == [None if reason else day for day, reason in days.items()]
    reasons = {row["value"]: row["reason"].removeprefix("warning: imported without: ") for row in shop.rejected(report)}
    assert {day: reason[: len(days[day])] for day, reason in reasons.items()} == {d: r for d, r in days.items() if r}


def test_summaries_are_whole_sentences(shop: Shop) -> None:
    rows = ("1,a@ex,b,1", "2,a b@example.com,A,1", "3,x@example.com,B,1", "3,x@example.com,B,1", "4,x@example.com,C,1")
    shop.put({"customers.csv": "\n".join(["id,mail,name,age", *rows]) + "\n"})
    warnings = shop.one(CUSTOMERS).warnings
    assert "is repeated further down, and the later row is used" in warnings
    assert not [reason for reason in warnings if ".:" in reason or "::" in reason or "  " in reason or "'" in reason]
    assert any(reason.startswith("mail is also the address of customer") for reason in warnings)
