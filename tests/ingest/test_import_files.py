"""Checks broken and odd files against both databases: the good rows are kept, whole-file faults change nothing."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from mailshot.errors import InvalidInput, SettingsError
from mailshot.facts import catalogue
from mailshot.ingest import importer
from mailshot.ingest.importer import Options
from mailshot.store import tables
from tests.support.import_shop import CUSTOMERS, PRODUCTS, PURCHASES, Shop

JSON_LINES = "kind: customers\n    file: c.jsonl\n    columns: {key: id, email: mail, first_name: name}"
PARQUET = "kind: customers\n    file: c.parquet\n    columns: {key: id, email: mail}"
HEADER = "id,mail,name,age\n"

# File, then keys kept, then (line, part of the reason) of each row that is rejected, or imported without a value.
CSVS: dict[str, tuple[bytes, list[str], list[tuple[int, str]]]] = {
    "byte order mark": (b"\xef\xbb\xbfid,mail,name,age\n1,a@b.co,A,1\n", ["1"], []),
    "CRLF": (b"id,mail,name,age\r\n1,a@b.co,A,1\r\n2,,B,\r\n", ["1", "2"], []),
    "CR and LF mixed": (b"id,mail,name,age\r\n1,a@b.co,A,1\n2,,B,\r\n3,,C,\n", ["1", "2", "3"], []),
    "no last line end": (b"id,mail,name,age\n1,a@b.co,A,1", ["1"], []),
    "header only": (b"id,mail,name,age\n", [], []),
    "blank lines": (b"id,mail,name,age\n\n1,,A,1\n\n\n,,B,\n2,,B,1\n", ["1", "2"], [(6, "is missing")]),
    "quotes": (b'id,mail,name,age\n1,,"A ""x"", B",1\n2,,"",\n', ["1", "2"], []),
    "line ends in quotes": (
        b'id,mail,name,age\n1,,"A\nB\r\nC",1\n2,nobody,B,1\n3,,C,1\n',
        ["1", "2", "3"],
        [(5, "is not an e-mail address")],
    ),
    "ragged": (b"id,mail,name,age\n1,,A\n2,,B,1\n3,,C,1,5\n4,,D,1\n", ["2", "4"], [(2, "3 values"), (4, "5 values")]),
    "a stray quote": (b'id,mail,name,age\n1,,"A,1\n2,,B,1\n3,,C,1\n', ["2", "3"], [(2, "not valid CSV")]),
    "text after a quote": (b'id,mail,name,age\n1,,"A"b,1\n2,,B,1\n', ["2"], [(2, "not valid CSV")]),
    "a NUL": (b"id,mail,name,age\n1,,A\x00,1\n2,,B,1\n", ["1", "2"], [(2, "has a NUL in it")]),
    "semicolons": (b"id;mail;name;age\n1;a@b.co;A,B;1\n", ["1"], []),
    "tabs": (b"id\tmail\tname\tage\n1\ta@b.co\tA\t1\n", ["1"], []),
    "spaces": (b" id , mail,name,age\n 1 , a@b.co ,A,1\n", ["1"], []),
    "a huge cell": (b"id,mail,name,age\n1,," + b"x" * 70_000 + b",1\n2,,B,1\n", ["1", "2"], [(2, "longer than")]),
    "a long key": (b"id,mail,name,age\n" + b"k" * 201 + b",,A,1\n2,,B,1\n", ["2"], [(2, "longer than 200")]),
    "a formula": (b'id,mail,name,age\n1,,"=HYPERLINK(""x"")",1\n', ["1"], []),
}


@pytest.mark.parametrize("name", CSVS)
def test_odd_csv(shop: Shop, name: str) -> None:
    body, kept, refused = CSVS[name]
    shop.put({"customers.csv": body})
    report = shop.one(CUSTOMERS)
    assert [row[0] for row in shop.rows(tables.Customer, "key")] == kept
    rejected = shop.rejected(report) if refused else []
    assert [int(row["line"]) for row in rejected] == [line for line, _ in refused]
    assert all(part in row["reason"] for row, (_, part) in zip(rejected, refused, strict=True))
    assert report.added + report.rejected == report.read


WHOLE = {
    "empty": (b"", "is empty"),
    "blank": (b"\n\n", "is empty"),
    "latin-1": ("id,mail,name,age\n1,,A,1\n2,,Åse,1\n".encode("latin-1"), "not UTF-8 text in line 3"),
    "cut in a letter": ("id,mail,name,age\n1,,Å".encode()[:-1], "middle of a character"),
    "a missing column": (b"id,email,name,age\n1,,A,1\n", "no column 'mail'"),
    "a column twice": (b"id,mail,name,name,age\n1,,A,B,1\n", "names the column 'name' twice"),
    "an endless line": (HEADER.encode() + b"x" * (5 << 20), "longer than"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_that_cannot_be_used_changes_nothing(shop: Shop, name: str) -> None:
    body, part = WHOLE[name]
    shop.load(PRODUCTS)
    before = shop.everything()
    shop.put({"customers.csv": body, "products.csv": "sku,name,price,organic\nZ,New,1,no\n"})
    with pytest.raises(InvalidInput, match=part) as raised:
        shop.load(PRODUCTS, CUSTOMERS)
    assert raised.value.exit_code != 0
    assert raised.value.problems[0].line > 0
    assert shop.everything() == before


def test_a_missing_column_is_told_where_the_mapping_names_it(shop: Shop) -> None:
    shop.put({"customers.csv": "id,email,name,age\n1,,A,1\n"})
    with pytest.raises(InvalidInput) as raised:
        shop.one(CUSTOMERS)
    (problem,) = raised.value.problems
    assert (problem.line, problem.column) == (6, 31)
    assert "columns: {key: id, email: mail" in problem.excerpt
    assert problem.remedy == "Did you mean 'email'?"


def test_json_lines_with_broken_lines(shop: Shop) -> None:
    rows = [
        json.dumps({"id": 1, "mail": "a@b.co", "name": "Ann"}),
        "{broken",
        json.dumps({"id": "2", "name": None}),
        "",
        json.dumps([1, 2]),
        json.dumps({"id": 3, "name": {"first": "C"}}),
        '{"id": 4, "name": "\\ud800"}',
        "[" * 100_000,
        json.dumps({"mail": "x@b.co"}),
        '{"id": 12345678901234567890, "name": "Zo\\u00eb", "other": [1]}',
    ]
    shop.put({"c.jsonl": "\n".join(rows)})
    report = shop.one(JSON_LINES)
    assert [row[0] for row in shop.rows(tables.Customer, "key")] == ["1", "12345678901234567890", "2"]
    assert [int(row["line"]) for row in shop.rejected(report)] == [2, 5, 6, 7, 8, 9]
    assert (report.read, report.added, report.rejected) == (9, 3, 6)


def test_json_lines_keep_amounts_exact(shop: Shop) -> None:
    shop.put({"p.jsonl": '{"sku": "A", "price": 12345678901234.5678}\n{"sku": "B", "price": 0.30000000000000001}\n'})
    report = shop.one("kind: products\n    file: p.jsonl\n    columns: {key: sku, price: price}")
    assert [str(row[1]) for row in shop.rows(tables.Product, "key", "price")] == ["12345678901234.5678", "None"]
    assert report.warnings == {"price has more than 4 decimal places: imported without it": 1}


def test_json_lines_without_a_mapped_column_are_refused(shop: Shop) -> None:
    shop.put({"c.jsonl": '{"id": 1, "email": "a@b.co", "name": "A"}\n'})
    with pytest.raises(InvalidInput, match="no column 'mail'") as raised:
        shop.one(JSON_LINES)
    assert raised.value.problems[0].remedy == "Did you mean 'email'?"


def _parquet(path: Path, query: str, options: str = "") -> bytes:
    with duckdb.connect() as session:
        session.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet{options})")
    return path.read_bytes()


def test_parquet_keeps_types(shop: Shop) -> None:
    query = (
        "SELECT * FROM (VALUES (1::DOUBLE, 'a@b.co', 0.1::DOUBLE, TIMESTAMP '2026-01-01 10:00:00'), "
        "(2.0, NULL, 'nan'::DOUBLE, NULL)) t(id, mail, price, since)"
    )
    _parquet(shop.folder / "c.parquet", query)
    report = shop.one(
        "kind: customers\n    file: c.parquet\n    columns: {key: id, email: mail, joined_at: since}",
        zone="Europe/Oslo",
    )
    assert (report.added, report.rejected) == (2, 0)
    joined = shop.rows(tables.Customer, "key", "joined_at")
    assert [row[0] for row in joined] == ["1", "2"]
    assert joined[0][1].isoformat() == "2026-01-01T09:00:00+00:00"
    report = shop.one("kind: products\n    file: c.parquet\n    columns: {key: id, price: price}")
    assert report.warnings == {"price is not a finite number: imported without it": 1}
    assert [str(row[0]) for row in shop.rows(tables.Product, "price")] == ["0.1000", "None"]


def test_a_damaged_parquet_file_is_refused_wherever_it_is_cut(shop: Shop) -> None:
    whole = _parquet(shop.folder / "c.parquet", "SELECT i AS id, 'h' || i || '@b.co' AS mail FROM range(5000) t(i)")
    before = shop.everything()
    bitten = whole[: len(whole) // 3] + b"\xff" * 200 + whole[len(whole) // 3 + 200 :]
    for body in (b"", whole[:4], whole[: len(whole) // 2], whole[:-1], whole[1:], b"PAR1" * 3, bitten):
        shop.put({"c.parquet": body})
        with pytest.raises(InvalidInput) as raised:
            shop.load(PRODUCTS, PARQUET)
        assert raised.value.problems[0].line > 0
        assert shop.everything() == before


def test_a_parquet_column_of_lists_is_refused(shop: Shop) -> None:
    _parquet(shop.folder / "c.parquet", "SELECT 1 AS id, ['a@b.co'] AS mail")
    with pytest.raises(InvalidInput, match="not single values"):
        shop.one(PARQUET)


def test_a_parquet_file_that_would_unpack_to_far_more_is_refused(shop: Shop) -> None:
    _parquet(
        shop.folder / "c.parquet",
        "SELECT i AS id, repeat('a', 5000) || (i // 50) AS mail FROM range(100_000) t(i)",
        ", COMPRESSION zstd, DICTIONARY_SIZE_LIMIT 1, ROW_GROUP_SIZE 100_000",
    )
    with pytest.raises(InvalidInput, match="would unpack"):
        shop.one(PARQUET)


def test_a_compressed_file_is_refused(shop: Shop) -> None:
    shop.put({"c.csv.gz": b"\x1f\x8b"})
    with pytest.raises(InvalidInput, match="unknown file type"):
        shop.one("kind: customers\n    file: c.csv.gz\n    columns: {key: id}")


def test_unicode_addresses_are_normalised_or_told(shop: Shop) -> None:
    lines = [
        "1,a@faß.de",
        "2,b@例え.jp",
        "3,c@💩.la",
        "4,josé@example.org",
        "5,d@FASS.de",
        "6," + "l" * 65 + "@example.org",
    ]
    shop.put({"customers.csv": "id,mail,name,age\n" + "".join(f"{line},N,1\n" for line in lines)})
    report = shop.one(CUSTOMERS)
    assert shop.rows(tables.Customer, "key", "email") == [
        ("1", "a@xn--fa-hia.de"),
        ("2", "b@xn--r8jz45g.jp"),
        ("3", None),
        ("4", "josé@example.org"),
        ("5", "d@fass.de"),
        ("6", None),
    ]
    assert [(row["line"], row["column"], row["value"]) for row in shop.rejected(report)] == [
        ("4", "mail", "c@💩.la"),
        ("5", "mail", "josé@example.org"),
        ("7", "mail", "l" * 65 + "@example.org"),
    ]


def test_times_are_read_in_the_mappings_zone(shop: Shop) -> None:
    shop.all()
    times = {
        "2026-01-15 12:00": "2026-01-15T11:00:00",
        "2026-07-15T12:00:00.250": "2026-07-15T10:00:00.250000",
        "2026-07-15T12:00:00+05:30": "2026-07-15T06:30:00",
        "2026-07-15 12:00:00Z": "2026-07-15T12:00:00",
        "2026-03-29 02:30:00": "2026-03-29T01:30:00",
        "2026-10-25 02:30:00": "2026-10-25T01:30:00",
        "2026-02-29": None,
        "1066-10-14": None,
        "infinity": None,
        "12:00": None,
        "15/01/2026": None,
    }
    rows = "".join(f"3,T{n},A,{time},1,1\n" for n, time in enumerate(times, 10))
    shop.put({"purchases.csv": "id,receipt,sku,at,n,paid\n" + rows})
    report = shop.one(PURCHASES, zone="Europe/Oslo")
    stored = {order: at for order, at in shop.rows(tables.Purchase, "order_key", "at") if order.startswith("T")}
    expected = {f"T{n}": utc for n, utc in enumerate(times.values(), 10) if utc}
    assert {order: at.isoformat().removesuffix("+00:00") for order, at in stored.items()} == expected
    assert report.rejected == 5
    assert report.warnings == {"the clock in Europe/Oslo skipped this time: taken as one hour later": 1}
    assert [row["line"] for row in shop.rejected(report) if "skipped" in row["reason"]] == ["6"]


def test_numbers_are_exact_or_refused(shop: Shop) -> None:
    numbers = {
        "1": "1.0000",
        "-0.0001": "-0.0001",
        "+2.50": "2.5000",
        ".5": "0.5000",
        "7.": "7.0000",
        "1.500000": "1.5000",
        "99999999999999.9999": "99999999999999.9999",
        "100000000000000": None,
        "0.00001": None,
        "1e3": None,
        "NaN": None,
        "inf": None,
        "1 000": None,
        "0x10": None,
        "--1": None,
        "१": None,
    }
    rows = "".join(f"K{n},{number}\n" for n, number in enumerate(numbers, 10))
    shop.put({"products.csv": "sku,price\n" + rows})
    report = shop.one("kind: products\n    file: products.csv\n    columns: {key: sku, price: price}")
    expected = {f"K{n}": str(exact) for n, exact in enumerate(numbers.values(), 10)}
    assert {key: str(price) for key, price in shop.rows(tables.Product, "key", "price")} == expected
    assert sum(report.warnings.values()) == list(numbers.values()).count(None)


def test_a_format_of_ones_own(shop: Shop) -> None:
    shop.put({"c.csv": "id,since\n1,31.12.2025\n2,2025-12-31\n"})
    what = 'kind: customers\n    file: c.csv\n    columns: {key: id, joined_at: {column: since, format: "%d.%m.%Y"}}'
    report = shop.one(what)
    (first, second) = shop.rows(tables.Customer, "key", "joined_at")
    assert (first[1].isoformat(), second[1]) == ("2025-12-31T00:00:00+00:00", None)
    assert shop.warned(report) == ["since is not a time as in 31.03.2026 (formats tried: %d.%m.%Y)"]


def test_an_import_of_addresses_needs_the_address_key(shop: Shop) -> None:
    path = shop.folder / "mapping.yaml"
    path.write_text(f"name: x\nimports:\n  - {CUSTOMERS.replace(', age: age', '')}\n")
    with pytest.raises(SettingsError, match="MAILSHOT_ADDRESS_KEY"):
        importer.run_import(shop.store, path, Options(catalogue.builtin(), (), b"", shop.folder / "rejects"))
