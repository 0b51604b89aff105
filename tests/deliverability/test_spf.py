"""Checks SPF results with the test suite of RFC 7208, as pyspf carries it, over a real name server."""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from mailshot.deliverability import spf
from mailshot.deliverability.dns_lookup import DnsLookup, NoAnswer
from tests.support.dns_server import Zone, name_server

#: Cases in which our result differs, and why.
OTHERWISE = {
    "spftimeout": "asks for the record type SPF, which RFC 7208 has given up",
    "null-text": "has strings without text, which the name server of the tests cannot serve",
    "p-macro-multiple": "the macro p, which RFC 7208 says not to publish, is not evaluated",
    "hello-macro": "a doctor has no HELO name: it takes the domain",
    "macro-mania-in-domain": "a doctor has no local part: it takes postmaster",
    "macro-reverse-split-on-dash": "a doctor has no local part: it takes postmaster",
    "macro-multiple-delimiters": "a doctor has no local part: it takes postmaster",
}


def _suite() -> list[dict[str, Any]]:
    path = next((Path(sys.prefix) / "samples").glob("pyspf*.tar.gz"))
    with tarfile.open(path) as archive:
        [name] = [name for name in archive.getnames() if name.endswith("/test/rfc7208-tests.yml")]
        file = archive.extractfile(name)
        assert file
        return list(YAML(typ="safe", pure=True).load_all(file.read().decode("utf-8")))


SUITE = _suite()


@pytest.mark.parametrize("section", SUITE, ids=lambda section: section["description"])
def test_the_suite(section: dict[str, Any]) -> None:
    with name_server(_zone(section["zonedata"])) as address:
        results = {name: _result(address, case) for name, case in section["tests"].items()}
    wrong = {
        name: (result, section["tests"][name]["result"])
        for name, result in results.items()
        if result not in section["tests"][name]["result"] and name not in OTHERWISE
    }
    assert wrong == {}


def test_the_exceptions_are_still_needed() -> None:
    assert sum(len(section["tests"]) for section in SUITE) > 200
    assert OTHERWISE.keys() <= {name for section in SUITE for name in section["tests"]}


def _result(address: str, case: dict[str, Any]) -> str:
    domain = (case["mailfrom"].rpartition("@")[2] or case["helo"]).lower()
    lookup = DnsLookup(address, seconds=0.5)
    labels = domain.rstrip(".").split(".")
    try:
        if len(labels) < 2 or any(not 0 < len(label) < 64 for label in labels) or not spf.records(lookup, domain):
            return "none"
        return spf.evaluate(lookup, domain, case["host"])
    except spf.SpfError:
        return "permerror"
    except NoAnswer:
        return "temperror"


def _zone(data: dict[str, Any]) -> Zone:
    """Return the records of a section; those of type SPF stand for TXT where a name has none."""
    zone = Zone()
    for name, records in ((str(name).lower().rstrip("."), records) for name, records in data.items()):
        own_text = any(isinstance(record, dict) and "TXT" in record for record in records)
        for kind, value in (item for record in records for item in _items(record)):
            if value == "TIMEOUT":
                zone.failing.add(name)
            elif value != "NONE" and not (kind == "SPF" and own_text):
                kind = "TXT" if kind == "SPF" else kind
                zone.records.setdefault((name, kind), []).append(_spelled(kind, value))
    return zone


def _items(record: object) -> list[tuple[str, Any]]:
    return list(record.items()) if isinstance(record, dict) else [("", record)]


def _spelled(kind: str, value: Any) -> str:
    """Write a value as a zone file has it."""
    if kind == "TXT":
        return " ".join(f'"{_escaped(text)}"' for text in (value if isinstance(value, list) else [value]))
    if kind == "MX":
        return f"{value[0]} {value[1].rstrip('.')}."
    return f"{value.rstrip('.')}." if kind in ("PTR", "CNAME") else str(value)


def _escaped(text: str) -> str:
    codes = (code for letter in text for code in (letter.encode() if ord(letter) > 255 else [ord(letter)]))
    return "".join(chr(code) if 32 <= code < 127 and chr(code) not in '"\\' else f"\\{code:03d}" for code in codes)
