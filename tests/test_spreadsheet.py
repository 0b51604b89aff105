"""Checks that no cell runs in a spreadsheet, and that every cell comes back as it was."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailshot import spreadsheet

ODD = "=+-@\t\r\n\0'\uff1d\uff0b\uff0d\uff20a1 "
CELL = st.text(st.sampled_from(ODD), max_size=6) | st.text(st.characters(codec="utf-8"), max_size=12)
FORMULAS = ["=1+1", "+49 30 1234", "-5", "@SUM(A1)", "\t=1", "\r=1", "\0=1", "\uff1d1", "-1+1"]


@given(CELL)
def test_any_cell_comes_back_and_none_is_a_formula(cell: str) -> None:
    written = spreadsheet.escape_formula(cell)
    assert spreadsheet.restore(written) == cell
    assert not written or written[0] not in "=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20"


@given(st.lists(CELL, min_size=1, max_size=20))
def test_duckdb_restores_as_we_do(cells: list[str]) -> None:
    query = "SELECT regexp_replace(unnest($1), $2, '\\1')"
    with duckdb.connect() as session:
        rows = session.execute(query, [cells, spreadsheet.PROTECTED]).fetchall()
    assert [row[0] for row in rows] == [spreadsheet.restore(cell) for cell in cells]


@pytest.mark.parametrize("cell", FORMULAS)
def test_what_begins_like_a_formula_gets_an_apostrophe(cell: str) -> None:
    assert spreadsheet.escape_formula(cell) == f"'{cell}"
    assert spreadsheet.escape_formula(f"'{cell}") == f"''{cell}"


def test_other_cells_stay_as_they_are() -> None:
    for cell in ("", "Ann", "'t Hooft", "a=b", " x", "'"):
        assert spreadsheet.escape_formula(cell) == spreadsheet.restore(cell) == cell
    assert spreadsheet.harmless(-5) == -5
