"""The cells of the fault programme, by what they attack."""

from __future__ import annotations

from tests.torture.cell import Cell
from tests.torture.cells import process_faults

CELLS: tuple[Cell, ...] = (*process_faults.CELLS,)
