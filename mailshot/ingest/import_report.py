"""Progress and result of an import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Step:
    """How far one part of the work is. `total` 0 means that nobody can know yet."""

    label: str
    done: int
    total: int


Progress = Callable[[Step], None]


def silent(_step: Step) -> None:
    """Show no progress."""


@dataclass(frozen=True, slots=True)
class FileReport:
    """What one file brought. added + changed + unchanged + repeated + rejected + left_out = read.

    `by_reason` and `warnings` count cells: of one row several may be wrong.
    """

    kind: str
    file: str
    read: int
    added: int
    changed: int
    unchanged: int
    repeated: int
    rejected: int
    #: Rows of customers who had their data erased: nothing of them is kept.
    left_out: int = 0
    by_reason: Mapping[str, int] = field(default_factory=dict)
    warnings: Mapping[str, int] = field(default_factory=dict)
    #: Of the rejected rows those that are, or may be, withdrawals or suppressions: someone may still be mailed.
    withdrawals_rejected: int = 0
    #: The file of the rows that were rejected or came in without a value, to be fixed and read again; '' without any.
    rejects: str = ""
    #: The name under which a former file of rejected rows is kept, because it differs; '' without one.
    former_rejects: str = ""
    #: The file of all faults and warnings, cell by cell.
    notes: str = ""
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether a withdrawal was rejected, or every row there was."""
        return bool(self.withdrawals_rejected) or bool(self.read and self.rejected == self.read)


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What a whole mapping brought. `dry` says that nothing was kept."""

    mapping: str
    dry: bool
    imports: tuple[FileReport, ...]

    @property
    def rejected(self) -> int:
        return sum(report.rejected for report in self.imports)

    @property
    def failed(self) -> bool:
        """Whether something must be put right before anything else is done."""
        return any(report.failed for report in self.imports)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        return asdict(self)
