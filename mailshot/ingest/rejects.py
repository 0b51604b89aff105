"""Owns the reject file: which line was left out, or taken with a remark, and why; refuses to decide it."""

from __future__ import annotations

import os
from pathlib import Path

from mailshot.ingest.reading import Reading
from mailshot.ingest.stage import Stage
from mailshot.ingest.values import literal

REMARK = "warning: "


def by_reason(stage: Stage, table: str) -> dict[str, int]:
    """Count notes by column and reason, without what a reason quotes; the most frequent first."""
    plain = "regexp_replace(reason, ' ''.*''', '')"
    shown = f"""coalesce("column" || ' ', '') || {plain}"""
    found = stage.run(f"SELECT {shown}, count(*) FROM {table} GROUP BY 1 ORDER BY 2 DESC, 1")
    return {str(reason): int(count) for reason, count in found}


def write(stage: Stage, reading: Reading, path: Path) -> str:
    """Write the faults and warnings of one import as a whole file, or see to it that none is left; return its name."""
    if not stage.one(f"SELECT (SELECT count(*) FROM {reading.faults}) + (SELECT count(*) FROM {reading.warnings})"):
        path.unlink(missing_ok=True)
        return ""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # a rejected line is still about a person
    beside = path.with_name(path.name + ".new")
    stage.run(
        f"""COPY (SELECT line, "column", value, reason FROM (
            SELECT * FROM {reading.faults}
            UNION ALL BY NAME SELECT * REPLACE ({literal(REMARK)} || reason AS reason) FROM {reading.warnings})
        ORDER BY line, reason) TO {literal(str(beside))} (FORMAT csv, HEADER true)"""
    )
    os.replace(beside, path)
    return str(path)
