"""Progress and result of an import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Step:
    """Progress of one part of the import. `total` 0: not known yet."""

    label: str
    done: int
    total: int


Progress = Callable[[Step], None]


def silent(_step: Step) -> None:
    """Show no progress."""


@dataclass(frozen=True, slots=True)
class FileReport:
    """The result of one file. added + changed + unchanged + repeated + rejected + left_out = read.

    `by_reason` and `warnings` count cells: one row may have several invalid cells.
    """

    kind: str
    file: str
    read: int
    added: int
    changed: int
    unchanged: int
    repeated: int
    rejected: int
    #: Rows of erased customers; nothing of them is stored.
    left_out: int = 0
    by_reason: Mapping[str, int] = field(default_factory=dict)
    warnings: Mapping[str, int] = field(default_factory=dict)
    #: Rejected rows that are, or may be, withdrawals or suppressions: these customers may still be mailed.
    withdrawals_rejected: int = 0
    #: The file of rows that were rejected or imported without a value, to fix and import again; '' if there are none.
    rejects: str = ""
    #: The new name of an earlier file of rejected rows with other content; '' if there was none.
    former_rejects: str = ""
    #: The file of all faults and warnings, cell by cell; '' if there are none.
    notes: str = ""
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether a withdrawal was rejected, or every row there was."""
        return bool(self.withdrawals_rejected) or bool(self.read and self.rejected == self.read)


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """The result of a whole mapping. `dry`: nothing was stored (import --check)."""

    mapping: str
    dry: bool
    imports: tuple[FileReport, ...]

    @property
    def rejected(self) -> int:
        return sum(report.rejected for report in self.imports)

    @property
    def failed(self) -> bool:
        """Whether the user must fix something before anything else."""
        return any(report.failed for report in self.imports)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        return asdict(self)
