"""Checks what imports write: cells that no spreadsheet runs and that come back whole, for their owner's eyes alone."""

from __future__ import annotations

import csv
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailshot.ingest import temporary_folder
from mailshot.store import tables
from tests.support.import_shop import Shop

SIGNS = "=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20"
PEOPLE = "kind: customers\n    file: people.{}\n    columns: {{key: id, first_name: name, children: children}}"
CELL = st.text(st.sampled_from("=+-@'\t\n\",;a1 \uff1d"), min_size=1, max_size=6) | st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=10
)


def rows_of(path: str, delimiter: str = ",") -> list[list[str]]:
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file, delimiter=delimiter, strict=True))


@settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
@given(names=st.lists(CELL, min_size=1, max_size=6), delimiter=st.sampled_from(",;"))
def test_rejected_rows_are_harmless_and_come_back_whole(shop: Shop, names: list[str], delimiter: str) -> None:
    path = shop.folder / "people.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL)
        writer.writerows(
            [["id", "name", "children", "=cmd", "'=x"], *([n, name, "x", "-5", "'=1"] for n, name in enumerate(names))]
        )
    what = PEOPLE.format("csv").replace("people.csv\n", f'people.csv\n    delimiter: "{delimiter}"\n')
    report = shop.one(what)
    header, *rows = rows_of(report.rejects, delimiter)
    assert header == ["id", "name", "children", "'=cmd", "''=x", "reject_line", "reject_reason"]
    assert [cell for row in rows for cell in row if cell and cell[0] in SIGNS] == []
    assert [row[3:5] for row in rows] == [["'-5", "''=1"]] * len(names)
    corrected = shop.folder / "corrected.csv"
    with corrected.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *([*row[:2], "2", *row[3:]] for row in rows)])
    again = shop.one(what, file=corrected)
    assert (again.read, again.rejected, again.warnings) == (len(names), 0, {})
    kept = dict(shop.rows(tables.Customer, "key", "first_name"))
    wanted = {str(n): name.strip(" \t\r\n") or None for n, name in enumerate(names)}
    assert {key: kept[key] for key in wanted} == wanted


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_phones_and_negative_numbers_come_back_from_every_format(shop: Shop, suffix: str) -> None:
    path = shop.folder / f"people.{suffix}"
    query = "SELECT * FROM (VALUES ('+49 30 123', '-5', 'x'), ('k', '''=', 'y')) t(id, name, children)"
    form = {"csv": "csv", "jsonl": "json", "parquet": "parquet"}[suffix]
    with duckdb.connect() as session:
        session.execute(f"COPY ({query}) TO '{path}' (FORMAT {form})")
    what = PEOPLE.format(suffix)
    report = shop.one(what)
    header, *rows = rows_of(report.rejects)
    assert [row[:2] for row in rows] == [["'+49 30 123", "'-5"], ["k", "''="]]
    corrected = shop.folder / "corrected.csv"
    with corrected.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *([*row[:2], "-1", *row[3:]] for row in rows)])
    report = shop.one(what, file=corrected)
    assert shop.rows(tables.Customer, "key", "first_name") == [("+49 30 123", "-5"), ("k", "'=")]
    assert report.rejected == 0


def test_rejected_rows_stand_in_the_order_of_the_file(shop: Shop) -> None:
    lines = [f"{n},N{n},{'x' if n % 3 else 1}" if n % 7 else f'{n},"broken' for n in range(5000)]
    shop.put({"people.csv": "id,name,children\n" + "\n".join(lines) + "\n"})
    _, *rows = rows_of(shop.one(PEOPLE.format("csv")).rejects)
    numbers = [int(row[-2]) for row in rows]
    assert numbers == sorted(numbers) == [n + 2 for n in range(5000) if n % 3 or not n % 7]


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_what_is_written_is_for_its_owner_alone(shop: Shop, no_umask: None) -> None:
    shop.put({"people.csv": "id,name,children\n1,A,x\n"})
    for dry in (True, False):
        shop.one(PEOPLE.format("csv"), dry=dry)
    folder = shop.folder / "rejects"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert len(modes) == 4
    assert set(modes.values()) == {0o600}


def test_a_link_among_the_rejects_is_replaced_and_not_written_through(shop: Shop) -> None:
    shop.put({"people.csv": "id,name,children\n1,A,x\n", "kept": "kept"})
    report = shop.one(PEOPLE.format("csv"))
    for name in (report.rejects, report.notes):
        Path(name).unlink()
        Path(name).symlink_to("../kept")
    shop.one(PEOPLE.format("csv"))
    assert (shop.folder / "kept").read_text(encoding="utf-8") == "kept"


def test_an_import_without_rejects_leaves_no_folder(shop: Shop) -> None:
    shop.put({"people.csv": "id,name,children\n1,A,1\n"})
    shop.one(PEOPLE.format("csv"))
    assert not (shop.folder / "rejects").exists()


def test_what_killed_imports_left_is_removed_and_what_others_use_is_kept(tmp_path: Path) -> None:
    left = tmp_path / f"{temporary_folder.PREFIX}left"
    left.mkdir()
    (left / "names.csv").write_text("Ann")
    with temporary_folder.folder(tmp_path) as first:
        assert not left.exists()
        with temporary_folder.folder(tmp_path) as second:
            assert first.is_dir()
            assert second.is_dir()
            assert stat.S_IMODE(second.stat().st_mode) == 0o700
    assert list(tmp_path.iterdir()) == []
