"""Checks that lists of other systems are read, and that their hashes hold for customers who are imported later."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest

from mailshot.errors import InvalidInput
from mailshot.ingest import suppression_list
from mailshot.ingest.suppression_list import SuppressionList
from mailshot.store import suppressed_digests, suppression
from tests.support.import_shop import CUSTOMERS, KEY, Shop

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def sha256(email: str) -> str:
    return hashlib.sha256(email.encode()).hexdigest()


def read(text: str) -> SuppressionList:
    return suppression_list.read_list(text, "list.csv", "imported", "list", NOW, KEY)


def test_the_columns_of_a_header_are_read(shop: Shop) -> None:
    complained = " complained , Ann@example.com ,2020-01-01T10:00:00+02:00,"
    text = f"\ufeffReason,EMAIL,at,source\n{complained}\n,{sha256('b')},soon,esp\n\n"
    entries = read(text)
    (address,), (digest,) = entries.suppressions, entries.digests
    assert (address.reason, address.source) == ("complained", "list")
    assert address.at == datetime(2020, 1, 1, 8, tzinfo=UTC)
    assert (digest.digest, digest.reason, digest.source, digest.at) == (sha256("b"), "imported", "esp", NOW)


@pytest.mark.parametrize(("text", "number"), [("", 0), ("\n\n", 0), ("email\n", 0), ("ann@example.com", 1)])
def test_small_lists(text: str, number: int) -> None:
    assert len(read(text)) == number


@pytest.mark.parametrize("entry", ["ann", "*@example.com,", "f" * 33, "g" * 64, "a@b@c"])
def test_what_is_neither_address_nor_hash_names_its_line(entry: str) -> None:
    with pytest.raises(InvalidInput) as error:
        read(f"ann@example.com\n{entry}\n")
    assert [(problem.file, problem.line) for problem in error.value.problems] == [("list.csv", 2)]


def test_a_hash_suppresses_customers_who_are_imported_later(shop: Shop) -> None:
    digests = read(f"{sha256('ann@example.com')}\n{sha256('bob@example.com')}\n").digests
    with shop.store.write() as connection:
        assert suppressed_digests.add_digests(connection, [*digests, *digests]) == 2
        assert suppressed_digests.add_digests(connection, digests) == 0
        assert suppressed_digests.suppress_matching(connection) == 0
    shop.one(CUSTOMERS)  # Ann@example.com and bob@Example.com
    shop.one(CUSTOMERS)
    with shop.store.read() as connection:
        assert [(row.reason, row.at) for row in suppression.listed(connection)] == [("imported", NOW)] * 2
