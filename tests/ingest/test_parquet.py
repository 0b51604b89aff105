"""Checks Parquet files: honest ones are read, and whatever would use up memory, time or disk is refused in words."""

from __future__ import annotations

import datetime
import decimal
import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mailshot.ingest import data_files, parquet

MB = 1 << 20
MAX_MEMORY = 300 * MB  # torture.md S11
CODECS = ("gzip", "brotli", "lz4", "zstd", "snappy")
Make = Callable[[Path], None]


def ids(count: int) -> Any:
    return pa.array([str(number) for number in range(count)])


def write(columns: dict[str, Any], **more: Any) -> Make:
    return lambda path: pq.write_table(pa.table(columns), path, **more)


def dictionary(text: str, rows: int) -> Make:
    """Make one text that many rows point to."""
    return lambda path: pq.write_table(
        pa.table({"id": ids(rows), "name": pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), [text])}),
        path,
    )


def zeros(codec: str) -> Make:
    def make(path: Path) -> None:
        table = pa.table({"id": pa.array([b"\0" * 60_000] * 6000)})
        pq.write_table(table, path, compression=codec, use_dictionary=False)

    return make


def nested(levels: int) -> Make:
    def make(path: Path) -> None:
        column = pa.array([1])
        for _ in range(levels):
            column = pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), column)
        pq.write_table(pa.table({"id": ids(1), "name": column}), path)

    return make


def long_list(path: Path) -> None:
    values = pa.nulls(60_000_000, pa.int8())
    lists = pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)
    pq.write_table(pa.table({"id": ids(1), "name": lists}), path)


def footer(change: Callable[[bytes, int], bytes]) -> Make:
    """Make a small file whose bytes are changed; the place of its footer is given."""

    def make(path: Path) -> None:
        pq.write_table(pa.table({"id": ids(1000), "name": ids(1000)}), path)
        body = path.read_bytes()
        path.write_bytes(change(body, len(body) - 8 - struct.unpack("<I", body[-8:-4])[0]))

    return make


def claimed_rows(path: Path) -> None:
    """Make a file of a thousand rows that says in its footer that they are more."""
    pq.write_table(pa.table({"id": ids(1000)}), path)
    body, row_count = path.read_bytes(), b"\xd0\x0f"  # 1000 as Thrift writes it
    assert row_count in body
    path.write_bytes(body.replace(row_count, b"\xd2\x0f"))


def lying_page(path: Path) -> None:
    """Make a file whose first page says that it unpacks to two gigabytes."""
    pq.write_table(pa.table({"id": ids(50_000)}), path, compression="zstd", use_dictionary=False)
    body = path.read_bytes()
    # Behind the magic: 0x15 type, 0x15 unpacked size as a zigzag varint.
    assert body[4:7] == b"\x15\x00\x15"
    end = next(at for at in range(7, 17) if body[at] < 0x80) + 1
    path.write_bytes(body[:7] + b"\xfe\xff\xff\xff\x0f"[: end - 7].ljust(end - 7, b"\x7f") + body[end:])


BOMBS: dict[str, Make] = {
    "a huge text in a dictionary": dictionary("x" * MB, 6000),
    "a long text in a dictionary": dictionary("x" * 60_000, 100_000),
    "one huge cell": write({"id": ["y" * (40 * MB)]}),
    "a row with a long list": long_list,
    "deep nesting": nested(400),
    "many columns": write({f"c{number}": [1] for number in range(1500)}),
    "many rows of nothing": lambda path: pq.write_table(
        pa.table({"id": pa.nulls(60_000_000, pa.int8())}), path, row_group_size=60_000_000
    ),
    "many row groups": lambda path: pq.write_table(
        pa.table({"id": ids(24_000), **{f"c{n}": [1] * 24_000 for n in range(8)}}), path, row_group_size=1
    ),
    "long metadata": lambda path: pq.write_table(
        pa.table({"id": ids(1)}).replace_schema_metadata({"x": "y" * (20 * MB)}), path
    ),
    "long names": write({f"c{number}" + "n" * 100_000: [1] for number in range(100)}),
    "a long statistic": write({"id": ["z" * (10 * MB)]}, write_statistics=True),
    "a footer longer than the file": footer(lambda body, _: body[:-8] + struct.pack("<I", 1 << 31) + body[-4:]),
    "a footer of nothing": footer(lambda body, _: body[:-8] + struct.pack("<I", 0) + body[-4:]),
    "a footer that begins elsewhere": footer(lambda body, _: body[:-8] + struct.pack("<I", 40) + body[-4:]),
    "a body of zeros": footer(lambda body, at: b"PAR1" + bytes(at - 4) + body[at:]),
    "more rows claimed than there are": claimed_rows,
    "a page that lies about its size": lying_page,
    **{f"zeros packed by {codec}": zeros(codec) for codec in CODECS},
}


#: Examines a file in a fresh process and prints why it was refused, and the most memory (bytes) that this took.
EXAMINE = """
import json, resource, sys
from pathlib import Path
from mailshot.ingest import data_files
path = Path(sys.argv[1])
try:
    data_files.examine_file(path, None, None, path.parent)
    refused = ["", ""]
except data_files.UnreadableFile as error:
    refused = [error.message, error.remedy]
most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print(json.dumps([*refused, most * 1024]))
"""


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_in_words(name: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb.parquet"
    BOMBS[name](path)
    # A process that is started by a large one counts as large from the start.
    command = ["/bin/sh", "-c", '"$@"', "sh", sys.executable, "-c", EXAMINE, str(path)]
    message, remedy, most = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert message.startswith("'bomb.parquet' ")
    assert remedy
    assert "Traceback" not in message
    assert str(tmp_path) not in message
    assert most <= MAX_MEMORY


ROWS = 200_000
HONEST: dict[str, Callable[[], dict[str, Any]]] = {
    "200,000 rows": lambda: {"id": ids(ROWS), "mail": [f"h{n}@example.com" for n in range(ROWS)]},
    "200,000 rows of long texts": lambda: {"id": ids(ROWS), "name": [f"N{n} " * 30 for n in range(ROWS)]},
    "two million narrow rows": lambda: {"id": pa.array(range(2_000_000)), "member": pa.nulls(2_000_000, pa.bool_())},
    "categories": lambda: {"id": ids(ROWS), "kind": pa.array([f"k{n % 9}" for n in range(ROWS)]).dictionary_encode()},
    "no rows": lambda: {"id": pa.array([], pa.string())},
    "all types": lambda: {
        "text": ["a"] * 9,
        "small": pa.array([1] * 9, pa.int8()),
        "large": pa.array([1] * 9, pa.uint64()),
        "float": pa.array([1.5] * 9, pa.float32()),
        "yes": [True] * 9,
        "day": [datetime.date(2026, 1, 1)] * 9,
        "moment": pa.array([datetime.datetime(2026, 1, 1)] * 9, pa.timestamp("us", "UTC")),
        "clock": [datetime.time(1, 2)] * 9,
        "money": pa.array([decimal.Decimal("1.25")] * 9, pa.decimal128(12, 2)),
        "bytes": [b"\xff"] * 9,
        "list": [[1, 2]] * 9,
        "struct": [{"a": 1}] * 9,
        "map": pa.array([[("a", 1)]] * 9, pa.map_(pa.string(), pa.int32())),
        "nothing": pa.nulls(9),
    },
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_files_are_read(name: str, tmp_path: Path) -> None:
    columns = HONEST[name]()
    write(columns)(tmp_path / "honest.parquet")
    assert list(data_files.examine_file(tmp_path / "honest.parquet", None, None, tmp_path).columns) == list(columns)


def test_a_process_that_is_ended_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write({"id": [1]})(tmp_path / "x.parquet")
    # A process that ends without an answer, as one that the system killed does.
    monkeypatch.setattr(parquet, "__name__", "this")
    with pytest.raises(data_files.UnreadableFile, match="more memory or time"):
        data_files.examine_file(tmp_path / "x.parquet", None, None, tmp_path)


def test_modules_in_the_folder_at_hand_are_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write({"id": [1]})(tmp_path / "x.parquet")
    (tmp_path / "duckdb.py").write_text("raise SystemExit('run')")
    monkeypatch.chdir(tmp_path)
    assert data_files.examine_file(tmp_path / "x.parquet", None, None, tmp_path).columns == {"id": "BIGINT"}


def test_it_reads_where_the_system_has_no_such_bounds(tmp_path: Path) -> None:
    write({"id": [1]})(tmp_path / "x.parquet")
    script = "import sys; sys.modules['resource'] = None; from mailshot.ingest import parquet; parquet.main()"
    with (tmp_path / "x.parquet").open("rb") as file:
        done = subprocess.run([sys.executable, "-c", script], stdin=file, capture_output=True, check=True)
    assert json.loads(done.stdout) == {"columns": {"id": "BIGINT"}}
