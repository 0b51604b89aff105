"""The course of an import: everything is read and judged before anything is written.

Each file of a mapping is one transaction: an interruption leaves it wholly in, or wholly out. So do many purchases on
SQLite, which are filled in out of sight instead (`store.staging`), so that nobody waits for them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from mailshot.documents import Problems
from mailshot.errors import InvalidInput, Problem, Refused, SettingsError
from mailshot.facts.catalogue import Catalogue
from mailshot.ingest import (
    addresses,
    data_files,
    erased_customers,
    mapping,
    mapping_checks,
    parse_file,
    rejects,
    staging_database,
)
from mailshot.ingest.data_files import MissingColumn, UnreadableFile
from mailshot.ingest.fields import Kind
from mailshot.ingest.import_report import FileReport, ImportSummary, Progress, Step, silent
from mailshot.ingest.loaders import activities, consents, customers, past_campaigns, purchases, suppressions
from mailshot.ingest.loaders.loader import Loading
from mailshot.ingest.mapping import ImportPlan
from mailshot.ingest.parse_file import Reading
from mailshot.ingest.staging_database import StagingDatabase
from mailshot.profile.topics import TRACKING
from mailshot.store import bulk, column_types, erasures, staging
from mailshot.store.bulk import Counts
from mailshot.store.engine import Connection, Store
from mailshot.store.staging import Staging

SHORTEST_KEY = 16
#: How often a file is loaded again because a customer was erased meanwhile.
TRIES = 5

LOADERS: dict[Kind, Callable[[Loading], Counts]] = {
    Kind.customers: customers.customers,
    Kind.products: purchases.products,
    Kind.purchases: purchases.purchases,
    Kind.consents: consents.consents,
    Kind.events: activities.events,
    Kind.interactions: activities.interactions,
    Kind.referrals: activities.referrals,
    Kind.campaigns: past_campaigns.campaigns,
    Kind.recipients: past_campaigns.recipients,
    Kind.conversions: past_campaigns.conversions,
    Kind.suppressions: suppressions.suppressions,
}
#: Kinds of what happened at a moment: a rule counts none of it before its day.
HAPPENED = (
    Kind.purchases, Kind.events, Kind.interactions, Kind.referrals, Kind.campaigns, Kind.conversions, Kind.customers,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Options:
    """What an import goes by, beside its mapping."""

    #: What rules/facts.yaml declares.
    catalogue: Catalogue
    #: The names in rules/topics.yaml; consents to others are refused. 'tracking' is always known.
    topics: Collection[str]
    #: The key by which addresses are hashed.
    address_key: bytes
    #: The folder for what was rejected.
    rejects: Path
    #: Where data files may lie, beside the mapping's own folder.
    data: Path | None = None
    #: A file to read instead of the mapping's: rejected rows that were fixed. Only its import is done.
    file: Path | None = None
    progress: Progress = silent
    #: The moment of the import; None: now.
    now: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Job:
    """What stays the same from one import of a mapping to the next."""

    bench: StagingDatabase
    plan: ImportPlan
    options: Options
    #: The imports of the mapping to do, by their number.
    numbers: tuple[int, ...]
    now: datetime
    dry: bool


@dataclass(frozen=True, slots=True)
class _Judged:
    """A file on the workbench: its rows with or without fault, and the seconds it took."""

    reading: Reading
    rows: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What came of the good rows, of which there were `good` with a key of their own; `left_out` are of the erased."""

    counts: Counts
    good: int
    left_out: int
    seconds: float


class _Undo(Exception):
    """Takes back what a transaction wrote."""


def run(store: Store, mapping_path: Path, options: Options) -> ImportSummary:
    """Import every file of a mapping. Raises InvalidInput, with nothing written, when a file cannot be used."""
    with staging_database.within_means(), staging_database.opened(options.rejects) as bench:
        job = _job(bench, mapping_path, options, dry=False)
        imported = tuple(_import(job, store, each) for each in _read_all(job))
    bulk.analyse(store)
    return ImportSummary(job.plan.mapping.name, False, imported)


def check(store: Store, mapping_path: Path, options: Options) -> ImportSummary:
    """Do all that `run` would do, tell it, and take it back. Raises InvalidInput as `run` does.

    On SQLite it is done to a copy, for nobody could write to the database meanwhile.
    """
    done: list[FileReport] = []
    with staging_database.within_means(), staging_database.opened(options.rejects) as bench:
        job = _job(bench, mapping_path, options, dry=True)
        judged = _read_all(job)
        with store.copied(bench.folder) as own, suppress(_Undo), own.write() as connection:
            done += [_tell(job, each, _load(job, connection, each)) for each in judged]
            raise _Undo
    return ImportSummary(job.plan.mapping.name, True, tuple(done))


def _job(bench: StagingDatabase, mapping_path: Path, options: Options, dry: bool) -> _Job:
    plan = mapping.load(mapping_path, options.catalogue, (*options.topics, TRACKING))
    return _Job(bench, plan, options, _numbers(plan, options.file), options.now or column_types.now(), dry)


def _numbers(plan: ImportPlan, file: Path | None) -> tuple[int, ...]:
    """Return which imports to do: all of them, or the one that a file of rejected rows belongs to."""
    imports = plan.mapping.imports
    if file is None or len(imports) == 1:
        return tuple(range(len(imports)))
    named = re.search(r"-([a-z]+)-(\d+)(\.check|\.[\d-]+)?\.\w+$", file.name)
    number = int(named[2]) - 1 if named else -1
    if named and 0 <= number < len(imports) and imports[number].kind == named[1]:
        return (number,)
    message = f"'{file.name}' does not say which of the {len(imports)} imports in {plan.path} it belongs to"
    remedy = f"Name it as import wrote it, as in {_slug(plan, 0)}.csv."
    raise InvalidInput([Problem(str(file), 0, 0, message, remedy=remedy)])


def _import(job: _Job, store: Store, judged: _Judged) -> FileReport:
    """Load a file. It is read and loaded again where a customer was erased meanwhile, for their rows stay out."""
    if store.sqlite and judged.reading.item.kind is Kind.purchases:
        return _tell(job, judged, _load_purchases(job, store, judged))
    for _ in range(TRIES):
        undone = True
        with suppress(_Undo), store.write() as connection:
            known = erasures.number(connection)
            loaded = _load(job, connection, judged)
            # Nobody is erased between this look and the commit.
            erasures.alone(connection)
            if erasures.number(connection) != known:
                raise _Undo
            undone = False
        if not undone:
            return _tell(job, judged, loaded)
        judged = _read_again(job, judged)
    raise Refused("Customers were erased all the time while this import ran.", "Run it again.")


def _read_again(job: _Job, judged: _Judged) -> _Judged:
    problems = job.plan.document.problems()
    again = _read(job, judged.reading, problems)
    problems.raise_if_any()
    assert again
    return again


def _load_purchases(job: _Job, store: Store, judged: _Judged) -> _Loaded:
    """Load purchases into SQLite, out of sight and in short transactions where they are many. Raises Refused."""
    customers = job.bench.one(f"SELECT count(DISTINCT customer) FROM {judged.reading.rows}")
    with staging.opened(store) as staged:
        staging.tidy(staged)
        if staging.is_large(store, judged.rows, customers):
            with store.read() as connection:
                return _load(job, connection, judged, staged)
        with store.write() as connection:
            return _load(job, connection, judged)


def _read_all(job: _Job) -> list[_Judged]:
    """Examine all files, then read them; what is wrong with any of them is told at once."""
    problems = job.plan.document.problems()
    readings = [_examine(job, number, problems) for number in job.numbers]
    problems.raise_if_any()
    judged = [_read(job, each, problems) for each in readings if each]
    problems.raise_if_any()
    return [each for each in judged if each]


def _examine(job: _Job, number: int, problems: Problems) -> Reading | None:
    item, options = job.plan.mapping.imports[number], job.options
    try:
        path = options.file or data_files.find(item.file, job.plan.path.parent, options.data)
        if not path.is_file():
            raise UnreadableFile(f"'{path}' is not there")
        # Corrected rows are UTF-8 as import wrote them, or in whatever an editor made of them.
        found = data_files.examine(
            path, item.delimiter, item.encoding, job.bench.folder / f"utf8-{number}", bool(options.file)
        )
    except UnreadableFile as error:
        problems.add(job.plan.document.at("imports", number, "file"), error.message, error.remedy)
        return None
    each = Reading(number, item, found, job.plan.fields[number], job.plan.mapping.time_zone)
    mapping_checks.refuse_wrong_columns(job.bench, each, job.plan.document, problems)
    if "email" in each.fields and len(options.address_key) < SHORTEST_KEY:
        raise SettingsError(
            "MAILSHOT_ADDRESS_KEY is not set.", "Run 'mailshot init', or set it to 32 or more hexadecimal digits."
        )
    return each


def _read(job: _Job, each: Reading, problems: Problems) -> _Judged | None:
    job.options.progress(Step(f"reading {each.file.name}", 0, 0))
    begun = time.monotonic()
    try:
        rows = parse_file.read(job.bench, each)
        if job.options.file:
            rejects.refuse_hopeless(job.bench, each)
        mapping_checks.refuse_ambiguous_numbers(job.bench, each, job.plan.document, problems)
    except MissingColumn as error:
        fields = [key for key, source in each.item.columns.items() if error.column in source.columns]
        problems.add(job.plan.document.at("imports", each.number, "columns", fields[0]), error.message, error.remedy)
        return None
    except duckdb.Error as error:
        reason = str(error).splitlines()[0].partition(": ")[2]
        message = f"'{each.file.name}' cannot be read to its end: {reason}"
        problems.add(job.plan.document.at("imports", each.number, "file"), message, "Is the file damaged?")
        return None
    return _Judged(each, rows, time.monotonic() - begun)


def _load(job: _Job, connection: Connection, judged: _Judged, staged: Staging | None = None) -> _Loaded:
    begun = time.monotonic()
    options, name = job.options, job.plan.mapping.name
    loading = Loading(job.bench, connection, judged.reading, name, options.address_key, options.progress, job.now)
    loading.staging = staged
    addresses.hash_all(loading)
    left_out = erased_customers.leave_out(loading)
    counts = LOADERS[judged.reading.item.kind](loading)
    _warn_of_future(loading)
    return _Loaded(counts, loading.good, left_out, time.monotonic() - begun)


def _warn_of_future(loading: Loading) -> None:
    """Tell the rows of what has not happened yet; consents judge their moments themselves."""
    for field in ("at", "start", "joined_at"):
        if loading.reading.item.kind in HAPPENED and field in loading.reading.fields:
            ahead = f'({loading.sound()}) WHERE "{field}" > {column_types.microseconds(loading.now)}'
            loading.warn(field, "'lies after this import; counts from that day on'", ahead)


def _slug(plan: ImportPlan, number: int) -> str:
    return f"{plan.mapping.slug}-{plan.mapping.imports[number].kind}-{number + 1}"


def _tell(job: _Job, judged: _Judged, loaded: _Loaded) -> FileReport:
    """Write the reject files of an import that is done, and sum it up."""
    each, counts = judged.reading, loaded.counts
    rejects.settle(job.bench, each)
    rejected = job.bench.one(f"SELECT count(DISTINCT line) FROM {each.faults}")
    written, former = _write_rejects(job, each)
    report = FileReport(
        kind=each.item.kind.value,
        file=str(job.options.file or each.item.file),
        read=judged.rows,
        added=counts.added,
        changed=counts.changed,
        unchanged=loaded.good - counts.added - counts.changed,
        repeated=judged.rows - rejected - loaded.good - loaded.left_out,
        left_out=loaded.left_out,
        rejected=rejected,
        withdrawals_rejected=rejects.withdrawals(job.bench, each),
        by_reason=rejects.by_reason(job.bench, each.faults),
        warnings=rejects.by_reason(job.bench, each.warnings),
        rejects=written,
        former_rejects=former,
        notes=rejects.write_notes(job.bench, each, _path(job, each, rejects.NOTES_SUFFIX)),
        seconds=round(judged.seconds + loaded.seconds, 3),
    )
    job.bench.run(f"DROP TABLE {each.rows}")
    job.bench.run(f"DROP VIEW {each.source}")
    job.bench.run(f"DROP TABLE IF EXISTS {each.lines}")
    return report


def _write_rejects(job: _Job, each: Reading) -> tuple[str, str]:
    """Write the rows to fix; return the file's name, and the name under which a former one is kept."""
    path = _path(job, each, ".csv")
    left, used = rejects.collect(job.bench, each), bool(job.options.file and _same(path, job.options.file))
    if job.dry and used:
        # A look at fixed rows must not take the fixes away.
        return (str(path) if left else ""), ""
    written, former = rejects.write_rows(job.bench, each, path, used or job.dry)
    return written, former


def _same(one: Path, other: Path) -> bool:
    return one.exists() and one.samefile(other)


def _path(job: _Job, each: Reading, suffix: str) -> Path:
    """Return the path of a file of this import in the rejects folder; a look writes to one of its own."""
    return job.options.rejects / f"{_slug(job.plan, each.number)}{'.check' if job.dry else ''}{suffix}"
