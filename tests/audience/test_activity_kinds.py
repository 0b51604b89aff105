"""Checks that every kind of activity has a table with all columns that its conditions use."""

from __future__ import annotations

import pytest

from mailshot.profile import activity
from mailshot.profile.activity import ActivityKind
from mailshot.store.audiences import SCHEMA

KINDS = list(activity.KINDS.values())


def keyword(kind: ActivityKind) -> str:
    return kind.keyword


def test_every_kind_has_a_table() -> None:
    assert SCHEMA.sources.keys() == activity.KINDS.keys()


@pytest.mark.parametrize("kind", KINDS, ids=keyword)
def test_the_table_of_a_kind_has_its_columns(kind: ActivityKind) -> None:
    source = SCHEMA.source(kind)
    assert source.fields.keys() >= kind.fields.keys()
    assert (source.product is not None) is kind.of_products
    assert (source.amount is not None) is ("amount" in kind.measures)
    assert (source.quantity is not None) is ("items" in kind.measures)
    assert ("facts" in source.table.c) or not kind.declared
