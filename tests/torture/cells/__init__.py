"""The cells of the fault programme, by what they attack."""

from __future__ import annotations

from tests.torture.cell import Cell
from tests.torture.cells import (
    campaign_faults,
    clock_faults,
    database_faults,
    event_faults,
    mail_server_faults,
    network_faults,
    process_faults,
    queue_faults,
)

MODULES = (
    process_faults,
    queue_faults,
    database_faults,
    mail_server_faults,
    network_faults,
    clock_faults,
    campaign_faults,
    event_faults,
)
CELLS: tuple[Cell, ...] = tuple(
    sorted(
        (cell for module in MODULES for cell in module.CELLS),
        key=lambda cell: (int(cell.name.partition("-")[0][1:]), cell.name),
    )
)
