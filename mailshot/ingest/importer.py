"""Owns the story of an import: everything is read and judged before anything is written; refuses to print.

Each file of a mapping is one transaction: an interruption leaves it wholly in, or wholly out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from mailshot.documents import Problems
from mailshot.errors import SettingsError
from mailshot.ingest import files, happenings, history, mapping, people, reading, rejects, shop, stage, values
from mailshot.ingest.fields import Kind
from mailshot.ingest.files import MissingColumn, Unreadable
from mailshot.ingest.loading import Loading
from mailshot.ingest.mapping import Plan
from mailshot.ingest.reading import Reading
from mailshot.ingest.stage import Stage
from mailshot.ingest.summary import Progress, Report, Step, Summary, silent
from mailshot.profile.catalogue import Catalogue
from mailshot.store import bulk
from mailshot.store.bulk import Counts
from mailshot.store.engine import Connection, Store

SHORTEST_KEY = 16

LOADERS: dict[Kind, Callable[[Loading], Counts]] = {
    Kind.customers: people.customers,
    Kind.products: shop.products,
    Kind.purchases: shop.purchases,
    Kind.consents: people.consents,
    Kind.events: happenings.events,
    Kind.interactions: happenings.interactions,
    Kind.referrals: happenings.referrals,
    Kind.campaigns: history.campaigns,
    Kind.recipients: history.recipients,
    Kind.conversions: history.conversions,
}


@dataclass(frozen=True, slots=True)
class _Job:
    """What stays the same from one import of a mapping to the next."""

    bench: Stage
    plan: Plan
    address_key: bytes
    rejects: Path
    progress: Progress


@dataclass(frozen=True, slots=True)
class _Judged:
    """A file on the workbench: its rows with or without fault, and the seconds it took."""

    reading: Reading
    rows: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What came of the good rows, of which there were `good` with a key of their own."""

    counts: Counts
    good: int
    seconds: float


class _Undo(Exception):
    """Ends a dry run."""


def run(
    store: Store,
    mapping_path: Path,
    *,
    data: Path | None = None,
    catalogue: Catalogue,
    address_key: bytes,
    rejects: Path,
    progress: Progress = silent,
) -> Summary:
    """Import every file of a mapping. Raises InvalidInput, with nothing written, when a file cannot be used."""
    with stage.opened() as bench:
        job = _Job(bench, mapping.load(mapping_path, catalogue), address_key, rejects, progress)
        imported = tuple(_import(job, store, each) for each in _read_all(job, data))
    bulk.analyse(store)
    return Summary(job.plan.mapping.name, False, imported)


def check(
    store: Store,
    mapping_path: Path,
    *,
    data: Path | None = None,
    catalogue: Catalogue,
    address_key: bytes,
    rejects: Path,
    progress: Progress = silent,
) -> Summary:
    """Do all that `run` would do, tell it, and take it back. Raises InvalidInput as `run` does."""
    done: list[Report] = []
    with stage.opened() as bench:
        job = _Job(bench, mapping.load(mapping_path, catalogue), address_key, rejects, progress)
        judged = _read_all(job, data)
        with suppress(_Undo), store.write() as connection:
            done += [_tell(job, each, _load(job, connection, each)) for each in judged]
            raise _Undo
    return Summary(job.plan.mapping.name, True, tuple(done))


def _import(job: _Job, store: Store, judged: _Judged) -> Report:
    with store.write() as connection:
        loaded = _load(job, connection, judged)
    return _tell(job, judged, loaded)


def _read_all(job: _Job, data: Path | None) -> list[_Judged]:
    """Examine all files, then read them; what is wrong with any of them is told at once."""
    problems = job.plan.document.problems()
    readings = [_examine(job, number, data, problems) for number in range(len(job.plan.mapping.imports))]
    problems.raise_if_any()
    judged = [_read(job, each, problems) for each in readings if each]
    problems.raise_if_any()
    return [each for each in judged if each]


def _examine(job: _Job, number: int, data: Path | None, problems: Problems) -> Reading | None:
    item = job.plan.mapping.imports[number]
    try:
        path = files.find(item.file, job.plan.path.parent, data)
        found = files.examine(path, item.delimiter)
    except Unreadable as error:
        problems.add(job.plan.document.at("imports", number, "file"), error.message, error.remedy)
        return None
    each = Reading(number, item, found, job.plan.fields[number], job.plan.mapping.time_zone)
    for field, source in item.columns.items():
        place = job.plan.document.at("imports", number, "columns", field)
        for column in source.columns if found.columns else ():
            if column not in found.columns:
                missing = MissingColumn(found.path.name, column, found.columns)
                problems.add(place, missing.message, missing.remedy)
            elif not values.readable(found.columns[column]):
                problems.add(place, f"column '{column}' holds {found.columns[column]}, not single values")
        if source.constant is not None and (reason := reading.faulty_constant(job.bench, each, field)):
            problems.add(place, f"'{source.constant}' {reason}")
    if "email" in each.fields and len(job.address_key) < SHORTEST_KEY:
        raise SettingsError(
            "MAILSHOT_ADDRESS_KEY is not set.", "Run 'mailshot init', or set it to 32 or more hexadecimal digits."
        )
    return each


def _read(job: _Job, each: Reading, problems: Problems) -> _Judged | None:
    job.progress(Step(f"reading {each.file.path.name}", 0, 0))
    begun = time.monotonic()
    try:
        rows = reading.read(job.bench, each)
    except MissingColumn as error:
        fields = [key for key, source in each.item.columns.items() if error.column in source.columns]
        problems.add(job.plan.document.at("imports", each.number, "columns", fields[0]), error.message, error.remedy)
        return None
    except duckdb.Error as error:
        reason = str(error).splitlines()[0].partition(": ")[2]
        message = f"'{each.file.path.name}' cannot be read to its end: {reason}"
        problems.add(job.plan.document.at("imports", each.number, "file"), message, "Is the file damaged?")
        return None
    return _Judged(each, rows, time.monotonic() - begun)


def _load(job: _Job, connection: Connection, judged: _Judged) -> _Loaded:
    begun = time.monotonic()
    loading = Loading(job.bench, connection, judged.reading, job.plan.mapping.name, job.address_key, job.progress)
    counts = LOADERS[judged.reading.item.kind](loading)
    return _Loaded(counts, loading.good, time.monotonic() - begun)


def _tell(job: _Job, judged: _Judged, loaded: _Loaded) -> Report:
    """Write the reject file of an import that is done, and sum it up."""
    each, counts = judged.reading, loaded.counts
    name = f"{job.plan.mapping.slug}-{each.item.kind}-{each.number + 1}.csv"
    reasons = rejects.by_reason(job.bench, each.faults)
    remarks = rejects.by_reason(job.bench, each.warnings)
    rejected = sum(reasons.values())
    job.bench.run(f"DROP TABLE {each.rows}")
    return Report(
        kind=each.item.kind.value,
        file=each.item.file,
        read=judged.rows,
        added=counts.added,
        changed=counts.changed,
        unchanged=loaded.good - counts.added - counts.changed,
        repeated=judged.rows - rejected - loaded.good,
        rejected=rejected,
        by_reason=reasons,
        warnings=remarks,
        rejects=rejects.write(job.bench, each, job.rejects / name),
        seconds=round(judged.seconds + loaded.seconds, 3),
    )
