"""Checks the parser on messages that were not written for it: the 117 samples of flufl.bounce.

They are read from its source distribution, which `make` downloads into the virtual environment. Labels come from
Sisimai, a bounce analyzer in Perl (Debian: libsisimai-perl), where it is installed.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from mailshot.incoming import parser
from mailshot.incoming.parser import IncomingMessage
from mailshot.states import IncomingKind
from tests.incoming.keys import KEYS

MESSAGES = 117
#: What Sisimai calls a hard bounce. `hasmoved` is missing: we leave a new address to people.
HARD = {"userunknown", "hostunknown", "notaccept"}
#: Sisimai's conventions for an unknown user that was reported after DATA, and for a new address.
EITHER = {"filtered", "hasmoved"}
NO_BOUNCE = {"delivered", "feedback", "vacation"}
SISIMAI = """
use Sisimai; use JSON::PP;
for my $file (@ARGV) {
    my $rows = Sisimai->make($file, delivered => 1, vacation => 1) || [];
    print encode_json([$file, [map { $_->reason } @$rows]]), "\\n";
}
"""


@pytest.fixture(scope="module")
def archive() -> tarfile.TarFile:
    return tarfile.open(next((Path(sys.prefix) / "samples").glob("flufl*bounce*.tar.gz")))


@pytest.fixture(scope="module")
def samples(archive: tarfile.TarFile) -> dict[str, bytes]:
    files = [name for name in archive.getnames() if "/tests/data/" in name and name.endswith(".txt")]
    assert len(files) == MESSAGES
    return {Path(name).name: _read(archive, name) for name in files}


@pytest.fixture(scope="module")
def addresses(archive: tarfile.TarFile) -> dict[str, set[str]]:
    """Return the addresses that flufl.bounce's own tests expect, by file."""
    source = _read(archive, next(name for name in archive.getnames() if name.endswith("tests/test_detectors.py")))
    table = next(
        node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DETECTORS"
    )
    expected: dict[str, set[str]] = {}
    for _, file, known, _ in ast.literal_eval(table):
        expected.setdefault(file, set()).update(address.decode().lower() for address in known)
    return {file: known for file, known in expected.items() if known}


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def _addresses(message: IncomingMessage) -> set[str]:
    return {address.lower() for row in message.recipients for address in (row.address, row.original)}


def test_addresses_are_found(samples: dict[str, bytes], addresses: dict[str, set[str]]) -> None:
    missed = [file for file, known in addresses.items() if not known & _addresses(_parse(samples[file]))]
    assert len(addresses) > 100
    assert len(missed) <= len(addresses) * 0.02, missed


def _parse(raw: bytes) -> IncomingMessage:
    return parser.parse(raw, KEYS, None)


def test_nothing_names_a_mail_of_ours(samples: dict[str, bytes]) -> None:
    assert [file for file, raw in samples.items() if _parse(raw).tokens] == []


def test_messages_cut_off_somewhere_are_read(samples: dict[str, bytes]) -> None:
    for number, raw in enumerate(samples.values()):
        for end in range(number, len(raw), 199):
            _parse(raw[:end])


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_messages_cut_off_anywhere_are_read(samples: dict[str, bytes]) -> None:
    for raw in samples.values():
        for end in range(len(raw)):
            _parse(raw[:end])


def test_kinds_agree_with_sisimai(samples: dict[str, bytes], tmp_path: Path) -> None:
    if subprocess.run(["perl", "-MSisimai", "-e", "1"], capture_output=True).returncode:
        pytest.skip("Sisimai is not installed (Debian: libsisimai-perl)")
    for file, raw in samples.items():
        (tmp_path / file).write_bytes(raw)
    command = ["perl", "-e", SISIMAI, *map(str, sorted(tmp_path.iterdir()))]
    output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    labels = {Path(file).name: set(reasons) for file, reasons in map(json.loads, output.splitlines()) if reasons}
    kinds = {file: _parse(samples[file]).kind for file in labels}
    wrong = [file for file, reasons in labels.items() if not _agrees(kinds[file], reasons)]
    false_hard = [file for file in wrong if kinds[file] is IncomingKind.hard]
    assert len(labels) > 100
    assert false_hard == []
    assert len(wrong) <= len(labels) * 0.05, wrong


def _agrees(kind: IncomingKind, reasons: set[str]) -> bool:
    if reasons <= NO_BOUNCE:
        return kind in (IncomingKind.auto_reply, IncomingKind.complaint, IncomingKind.delivered)
    if kind not in (IncomingKind.hard, IncomingKind.soft, IncomingKind.block, IncomingKind.delayed):
        return False
    return bool(reasons & EITHER) or (kind is IncomingKind.hard) == bool(reasons & HARD)
