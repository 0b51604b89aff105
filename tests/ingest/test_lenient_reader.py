"""Checks the careful way through text files, and that the fast way agrees with it wherever it is taken."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mailshot.ingest import data_files, lenient_reader, mapping, parse_file, staging_database
from mailshot.ingest.fields import Field, Kind, Type
from mailshot.ingest.parse_file import Reading
from mailshot.ingest.staging_database import StagingDatabase

CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
MESS = st.lists(st.sampled_from(['"', ",", "\n", "\r\n", "\r", "a", " ", '""', "é", ";"]), max_size=25).map("".join)


@pytest.fixture(scope="module")
def bench() -> Iterator[StagingDatabase]:
    with staging_database.opened() as opened:
        yield opened


@contextmanager
def written(body: bytes, name: str = "x.csv") -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(body)
        yield path


def read(bench: StagingDatabase, path: Path) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """Return the rows (line, a, b) and the faults (line, reason) of a file with columns a and b."""
    data_file = data_files.examine_file(path, ",", None, path.parent)
    names = list(data_file.columns)
    columns = {field: mapping.ColumnSource(("", column, "")) for field, column in zip(("a", "b"), names, strict=True)}
    item = mapping.FileMapping.model_construct(kind=Kind.events, file=path.name, distinct=False, columns=columns)
    fields = {name: Field(name, Type.long_text, "") for name in ("a", "b")}
    reading = Reading(0, item, data_file, fields, "UTC")
    parse_file.stage_file(bench, reading)
    return bench.run(f'SELECT "#line", a, b FROM {reading.rows} ORDER BY 1'), bench.run(
        f"SELECT line FROM {reading.faults}"
    )


@settings(deadline=None, max_examples=60)
@given(rows=st.lists(st.tuples(CELL, CELL), max_size=8), ends=st.sampled_from(["\n", "\r\n"]))
def test_whatever_a_writer_quotes_comes_back(bench: StagingDatabase, rows: list[tuple[str, str]], ends: str) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=ends, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    with written(text.getvalue().encode()) as path:
        got, faults = read(bench, path)
    assert faults == []
    expected = [tuple(cell.strip(" \t\r\n") or None for cell in row) for row in rows]
    assert [row[1:] for row in got] == expected


@settings(deadline=None, max_examples=150)
@given(mess=MESS)
@example(mess='1"x,2\n')
@example(mess='"1"x,2\n3,4\n')
@example(mess='"1,2\n3,4\n')
@example(mess="\n\n1,2")
@example(mess=', ""')
@example(mess=',"" ')
def test_any_mess_gives_the_same_rows_fast_or_careful(bench: StagingDatabase, mess: str) -> None:
    with written(("a,b\n" + mess).encode()) as path:
        got, faults = read(bench, path)
        read_rows = list(lenient_reader.csv_rows(path, ",", 2))
    rows = [row for row in read_rows if isinstance(row, lenient_reader.Row)]
    assert [(row.line, *((cell or "").strip(" \t\r\n") or None for cell in row.cells)) for row in rows] == got
    assert len(read_rows) == len(got) + len(faults)


def test_one_stray_quote_costs_one_line() -> None:
    with written(b'a,b\n1,x\n2,"y\n3,z\n4,"q\n5,w\n') as path:
        read_rows = list(lenient_reader.csv_rows(path, ",", 2))
    assert [(type(row).__name__, row.line) for row in read_rows] == [
        ("Row", 2),
        ("Broken", 3),
        ("Row", 4),
        ("Broken", 5),
        ("Row", 6),
    ]


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_as_json_lines_are_rows_or_broken(body: bytes) -> None:
    with written(body, "x.jsonl") as path, suppress(data_files.UnreadableFile):
        data_files.examine_file(path, None, None, path.parent)
        assert all(row.line > 0 for row in lenient_reader.json_rows(path, ["a"], set()))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_as_parquet_are_told_and_never_crash(body: bytes) -> None:
    with written(b"PAR1" + body + b"PAR1", "x.parquet") as path, pytest.raises(data_files.UnreadableFile):
        data_files.examine_file(path, None, None, path.parent)
