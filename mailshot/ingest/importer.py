"""Runs an import: all files are read and checked before anything is written.

Each file of a mapping is one transaction: after an interruption it is imported completely or not at all. The same holds
for large files of purchases on SQLite, which are loaded next to the real tables (`store.staging`), so that no other
writer waits for them.
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
from mailshot.ingest.loaders import activities, answers, consents, customers, past_campaigns, purchases, suppressions
from mailshot.ingest.loaders.loader import Loading
from mailshot.ingest.mapping import ImportPlan
from mailshot.ingest.parse_file import Reading
from mailshot.ingest.staging_database import StagingDatabase
from mailshot.profile.preferences import NO_QUESTIONS, Statements
from mailshot.profile.topics import TRACKING
from mailshot.store import bulk, column_types, erasures, staging
from mailshot.store.bulk import Counts
from mailshot.store.engine import Connection, Store
from mailshot.store.staging import StagedImport

MIN_KEY_CHARACTERS = 16
#: How often a file is loaded again if a customer was erased meanwhile.
MAX_TRIES = 5

#: Kinds that `activities.load_plain` cannot load.
LOADERS: dict[Kind, Callable[[Loading], Counts]] = {
    Kind.customers: customers.load_customers,
    Kind.products: purchases.load_products,
    Kind.purchases: purchases.load_purchases,
    Kind.consents: consents.load_consents,
    Kind.events: activities.load_events,
    Kind.interactions: activities.load_interactions,
    Kind.referrals: activities.load_referrals,
    Kind.campaigns: past_campaigns.load_campaigns,
    Kind.recipients: past_campaigns.load_recipients,
    Kind.conversions: past_campaigns.load_conversions,
    Kind.suppressions: suppressions.load_suppressions,
    Kind.answers: answers.load_answers,
}
#: Kinds whose future dates need no warning: consents and answers check their own, a suppression counts from its import.
NOT_WARNED = (Kind.consents, Kind.suppressions, Kind.answers)


@dataclass(frozen=True, slots=True)
class Options:
    """The options of an import, in addition to its mapping."""

    #: What rules/facts.yaml declares.
    catalogue: Catalogue
    #: The names in rules/topics.yaml; consents to others are rejected. 'tracking' is always known.
    topics: Collection[str]
    #: The key of the address hashes.
    address_key: bytes
    #: The folder for rejected rows.
    rejects: Path
    #: A folder of data files, in addition to the mapping's own folder.
    data: Path | None = None
    #: Corrected rejected rows, to import instead of the mapping's files.
    file: Path | None = None
    progress: Progress = silent
    #: The questions of rules/preferences.yaml: which answer replaces which.
    statements: Statements = NO_QUESTIONS
    #: The time of the import; None: now.
    now: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Job:
    """What all files of one import share."""

    db: StagingDatabase
    plan: ImportPlan
    options: Options
    #: Indexes of the mapping's files to import.
    numbers: tuple[int, ...]
    now: datetime
    dry_run: bool


@dataclass(frozen=True, slots=True)
class _ParsedFile:
    """A file in the staging database, with the number of its rows and the seconds of parsing."""

    reading: Reading
    rows: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The result of loading: `good` valid rows with distinct keys, `left_out` rows of erased customers."""

    counts: Counts
    good: int
    left_out: int
    seconds: float


class _Rollback(Exception):
    """Rolls back a transaction."""


def run_import(store: Store, mapping_path: Path, options: Options) -> ImportSummary:
    """Import every file of a mapping. Raises InvalidInput, with nothing written, when a file cannot be used."""
    with staging_database.within_means(), staging_database.opened(options.rejects) as db:
        job = _job(db, mapping_path, options, dry_run=False)
        imported = tuple(_import(job, store, parsed) for parsed in _read_all(job))
    bulk.analyse(store)
    return ImportSummary(job.plan.mapping.name, False, imported)


def check_import(store: Store, mapping_path: Path, options: Options) -> ImportSummary:
    """Do all that `run_import` would do, report it, and roll it back. Raises InvalidInput as `run_import` does.

    On SQLite it works on a copy, because it would block all other writers.
    """
    reports: list[FileReport] = []
    with staging_database.within_means(), staging_database.opened(options.rejects) as db:
        job = _job(db, mapping_path, options, dry_run=True)
        parsed_files = _read_all(job)
        with store.copied(db.folder) as own, suppress(_Rollback), own.write() as connection:
            reports += [_report(job, parsed, _load(job, connection, parsed)) for parsed in parsed_files]
            raise _Rollback
    return ImportSummary(job.plan.mapping.name, True, tuple(reports))


def _job(db: StagingDatabase, mapping_path: Path, options: Options, dry_run: bool) -> _Job:
    plan = mapping.load_mapping(mapping_path, options.catalogue, (*options.topics, TRACKING))
    return _Job(db, plan, options, _numbers(plan, options.file), options.now or column_types.now(), dry_run)


def _numbers(plan: ImportPlan, file: Path | None) -> tuple[int, ...]:
    """Return the files to import: all of them, or the one that a file of rejected rows belongs to."""
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


def _import(job: _Job, store: Store, parsed: _ParsedFile) -> FileReport:
    """Load a file. If a customer was erased meanwhile, read and load it again without their rows."""
    if store.sqlite and parsed.reading.item.kind is Kind.purchases:
        return _report(job, parsed, _load_purchases(job, store, parsed))
    for _ in range(MAX_TRIES):
        rolled_back = True
        with suppress(_Rollback), store.write() as connection:
            known = erasures.count_erasures(connection)
            loaded = _load(job, connection, parsed)
            # The lock prevents erasures between this check and the commit.
            erasures.wait_for_erasures(connection)
            if erasures.count_erasures(connection) != known:
                raise _Rollback
            rolled_back = False
        if not rolled_back:
            return _report(job, parsed, loaded)
        parsed = _read_again(job, parsed)
    raise Refused("Customers were erased while this import ran, several times.", "Run it again.")


def _read_again(job: _Job, parsed: _ParsedFile) -> _ParsedFile:
    problems = job.plan.document.problems()
    again = _read(job, parsed.reading, problems)
    problems.raise_if_any()
    assert again
    return again


def _load_purchases(job: _Job, store: Store, parsed: _ParsedFile) -> _Loaded:
    """Load purchases into SQLite; large files in short transactions, next to the real tables. Raises Refused."""
    customers = job.db.one(f"SELECT count(DISTINCT customer) FROM {parsed.reading.rows}")
    with staging.exclusive_import(store) as staged:
        staging.clean_up(staged)
        if staging.is_large(store, parsed.rows, customers):
            with store.read() as connection:
                return _load(job, connection, parsed, staged)
        with store.write() as connection:
            return _load(job, connection, parsed)


def _read_all(job: _Job) -> list[_ParsedFile]:
    """Examine all files, then parse them; report the problems of all files together."""
    problems = job.plan.document.problems()
    readings = [_examine(job, number, problems) for number in job.numbers]
    problems.raise_if_any()
    parsed_files = [_read(job, reading, problems) for reading in readings if reading]
    problems.raise_if_any()
    return [parsed for parsed in parsed_files if parsed]


def _examine(job: _Job, number: int, problems: Problems) -> Reading | None:
    item, options = job.plan.mapping.imports[number], job.options
    try:
        path = options.file or data_files.find_file(item.file, job.plan.path.parent, options.data)
        if not path.is_file():
            raise UnreadableFile(f"'{path}' does not exist")
        # Corrected rows are UTF-8, as import wrote them, or in the encoding of the user's editor.
        data_file = data_files.examine_file(
            path, item.delimiter, item.encoding, job.db.folder / f"utf8-{number}", bool(options.file)
        )
    except UnreadableFile as error:
        problems.add(job.plan.document.at("imports", number, "file"), error.message, error.remedy)
        return None
    reading = Reading(number, item, data_file, job.plan.fields[number], job.plan.mapping.time_zone)
    mapping_checks.check_columns(job.db, reading, job.plan.document, problems)
    if "email" in reading.fields and len(options.address_key) < MIN_KEY_CHARACTERS:
        raise SettingsError(
            "MAILSHOT_ADDRESS_KEY is not set.", "Run 'mailshot init', or set it to 32 or more hexadecimal digits."
        )
    return reading


def _read(job: _Job, reading: Reading, problems: Problems) -> _ParsedFile | None:
    job.options.progress(Step(f"reading {reading.file.name}", 0, 0))
    begun = time.monotonic()
    try:
        rows = parse_file.stage_file(job.db, reading)
        if job.options.file:
            rejects.reject_uncorrectable(job.db, reading)
        mapping_checks.check_ambiguous_numbers(job.db, reading, job.plan.document, problems)
    except MissingColumn as error:
        fields = [key for key, source in reading.item.columns.items() if error.column in source.columns]
        problems.add(job.plan.document.at("imports", reading.number, "columns", fields[0]), error.message, error.remedy)
        return None
    except duckdb.Error as error:
        reason = str(error).splitlines()[0].partition(": ")[2]
        message = f"'{reading.file.name}' cannot be read completely: {reason}"
        problems.add(job.plan.document.at("imports", reading.number, "file"), message, "Is the file damaged?")
        return None
    return _ParsedFile(reading, rows, time.monotonic() - begun)


def _load(job: _Job, connection: Connection, parsed: _ParsedFile, staged: StagedImport | None = None) -> _Loaded:
    begun = time.monotonic()
    options, name = job.options, job.plan.mapping.name
    loading = Loading(
        job.db,
        connection,
        parsed.reading,
        name,
        options.address_key,
        options.progress,
        job.now,
        statements=options.statements,
    )
    loading.staging = staged
    addresses.hash_all(loading)
    left_out = erased_customers.leave_out(loading)
    counts = LOADERS.get(parsed.reading.item.kind, activities.load_plain)(loading)
    _warn_of_future(loading)
    return _Loaded(counts, loading.valid_count, left_out, time.monotonic() - begun)


def _warn_of_future(loading: Loading) -> None:
    """Warn about rows dated in the future; the loader of consents checks its own."""
    for field in ("at", "start", "joined_at"):
        if loading.reading.item.kind not in NOT_WARNED and field in loading.reading.fields:
            ahead = f'({loading.valid_rows()}) WHERE "{field}" > {column_types.microseconds(loading.now)}'
            loading.warn(field, "'is after this import; counts from that date on'", ahead)


def _slug(plan: ImportPlan, number: int) -> str:
    return f"{plan.mapping.slug}-{plan.mapping.imports[number].kind}-{number + 1}"


def _report(job: _Job, parsed: _ParsedFile, loaded: _Loaded) -> FileReport:
    """Write the reject files of an imported file, and return its report."""
    reading, counts = parsed.reading, loaded.counts
    rejects.move_dropped_values(job.db, reading)
    rejected = job.db.one(f"SELECT count(DISTINCT line) FROM {reading.faults}")
    written, former = _write_rejects(job, reading)
    report = FileReport(
        kind=reading.item.kind.value,
        file=str(job.options.file or reading.item.file),
        read=parsed.rows,
        added=counts.added,
        changed=counts.changed,
        unchanged=loaded.good - counts.added - counts.changed,
        repeated=parsed.rows - rejected - loaded.good - loaded.left_out,
        left_out=loaded.left_out,
        rejected=rejected,
        withdrawals_rejected=rejects.count_withdrawals(job.db, reading),
        by_reason=rejects.by_reason(job.db, reading.faults),
        warnings=rejects.by_reason(job.db, reading.warnings),
        rejects=written,
        former_rejects=former,
        notes=rejects.write_notes(job.db, reading, _path(job, reading, rejects.NOTES_SUFFIX)),
        seconds=round(parsed.seconds + loaded.seconds, 3),
    )
    job.db.run(f"DROP TABLE {reading.rows}")
    job.db.run(f"DROP VIEW {reading.source}")
    job.db.run(f"DROP TABLE IF EXISTS {reading.lines}")
    return report


def _write_rejects(job: _Job, reading: Reading) -> tuple[str, str]:
    """Write the rejected rows; return the file's name, and the new name of an earlier file."""
    path = _path(job, reading, ".csv")
    left, used = rejects.collect(job.db, reading), bool(job.options.file and _same(path, job.options.file))
    if job.dry_run and used:
        # A check of corrected rows must not overwrite the corrections.
        return (str(path) if left else ""), ""
    written, former = rejects.write_rows(job.db, reading, path, used or job.dry_run)
    return written, former


def _same(path: Path, other: Path) -> bool:
    return path.exists() and path.samefile(other)


def _path(job: _Job, reading: Reading, suffix: str) -> Path:
    """Return the path of a file of this import in the rejects folder; a check has its own files."""
    return job.options.rejects / f"{_slug(job.plan, reading.number)}{'.check' if job.dry_run else ''}{suffix}"
