"""`import` and `traits`: loads files, and infers traits from them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mailshot.cli import context, output
from mailshot.errors import InvalidInput

if TYPE_CHECKING:
    from mailshot.bootstrap import App
    from mailshot.ingest.import_report import ImportSummary, Step


#: Different reasons shown of one file; the notes file has all of them.
MAX_REASONS = 20


def import_(
    mapping: Annotated[Path, typer.Argument(help="The mapping file, which maps columns to facts.")],
    data: Annotated[Path | None, typer.Option(help="Folder of the data files.")] = None,
    file: Annotated[Path | None, typer.Option(help="Import this corrected file of rejected rows.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Check all files without importing.")] = False,
    json: context.AsJson = False,
) -> None:
    """Import customers, products, purchases, consents, suppressions, answers and events, using a mapping file."""
    from mailshot.ingest import importer

    app = context.app()
    rules = context.rulebook(app.settings.project)
    run = importer.check_import if check else importer.run_import
    with _Bar(quiet=json) as bar, _interrupted():
        options = importer.Options(
            catalogue=rules.catalogue,
            topics=rules.topics.by_name,
            statements=rules.statements,
            address_key=app.address_key,
            rejects=app.settings.project / "rejects",
            data=data,
            file=file,
            progress=bar.show,
        )
        summary = run(app.store, mapping, options)
    if json:
        output.print_json(summary.as_dict())
    else:
        _print_summary(summary)
    _warn(summary)
    if not check:
        _convert(app)
    if not json:
        after = "mailshot traits" if rules.traits else "mailshot rules count"
        output.print_next_step(_next_step(summary, mapping, data, file) or after)
    if summary.failed:
        raise typer.Exit(InvalidInput.exit_code)


def traits(as_of: context.AsOf = None, json: context.AsJson = False) -> None:
    """Infer customers' traits from their purchases."""
    from mailshot.ingest import infer_traits as stage

    app = context.app()
    rules = context.rulebook(app.settings.project)
    today = context.company_today(rules, as_of)
    with output.err.status("Inferring traits from purchases …"):
        counts = stage.infer(app.store, rules.traits, rules.catalogue.product, today, rules.company.time_zone)
    if json:
        output.print_json({"as_of": today, "conclusions": counts})
        return
    rows = [(trait.name, counts[trait.name], trait.help) for trait in rules.traits]
    output.print_table(f"Traits as of {today:%Y-%m-%d}", ("trait", "conclusions", ""), rows, right=(1,))
    output.print_next_step("mailshot plan CAMPAIGN (see them with: mailshot rules list)")


def _next_step(summary: ImportSummary, mapping: Path, data: Path | None, file: Path | None) -> str:
    """Return what to do next to get the file in, '' when it is."""
    again = f"mailshot import {mapping}" + (f" --data {data}" if data else "")
    failed = next((item for item in summary.imports if item.failed), None)
    if not summary.dry:
        return f"fix {failed.rejects}, then: {again} --file {failed.rejects}" if failed else ""
    # A check stores nothing: the same file must still be imported.
    again += f" --file {file}" if file else ""
    return f"fix {failed.file} (errors are listed in {failed.notes}), then: {again} --check" if failed else again


def _convert(app: App) -> None:
    """Recompute the conversions of customers with new purchases or events."""
    from mailshot.campaign import conversions

    with output.err.status("Computing conversions …"):
        conversions.make_conversions(app.store)


def _print_summary(summary: ImportSummary) -> None:
    rows = [
        (
            item.kind,
            item.read,
            item.added,
            item.changed,
            item.unchanged + item.repeated,
            item.rejected,
            f"{item.seconds:.1f} s",
        )
        for item in summary.imports
    ]
    columns = ("kind", "read", "added", "changed", "unchanged", "rejected", "took")
    output.print_table(f"Import: {summary.mapping}", columns, rows, right=(1, 2, 3, 4, 5, 6))
    for item in summary.imports:
        for reason, number in list(item.by_reason.items())[:MAX_REASONS]:
            output.print_text(
                f"  [red]{output.count_noun(number, 'row')}[/red] of {item.kind} rejected: {output.printable(reason)}"
            )
        for warning, number in list(item.warnings.items())[:MAX_REASONS]:
            output.print_text(
                f"  [yellow]{output.count_noun(number, 'row')}[/yellow] of {item.kind}: {output.printable(warning)}"
            )
        if item.left_out:
            lines = f"{output.count_noun(item.left_out, 'row')} of {item.kind}"
            output.print_text(f"  {lines} left out: the data of these customers was erased.")
        if item.notes:
            output.print_text(f"  all errors and warnings, by cell: {output.printable(item.notes)}")
        if item.former_rejects:
            output.print_text(
                f"  the previous file of rejected rows was renamed to: {output.printable(item.former_rejects)}"
            )
        if item.rejects and summary.dry:
            output.print_text(f"  rows to fix: {output.printable(item.rejects)}")
        elif item.rejects:
            output.print_text(f"  rejected rows, to fix and import with --file: {output.printable(item.rejects)}")


def _warn(summary: ImportSummary) -> None:
    """Warn on stderr, even with --json, about withdrawals that were not read and files whose rows were all rejected."""
    for item in summary.imports:
        if number := item.withdrawals_rejected:
            rows = f"{output.count_noun(number, 'row')} of {output.printable(item.file)}"
            _loudly(f"{rows} may be WITHDRAWALS but could not be read: these customers may still be mailed.")
        elif item.failed:
            _loudly(f"Nothing was imported from {output.printable(item.file)}: every row was rejected.")


def _loudly(text: str) -> None:
    output.err.print(f"[bold red]{text}[/bold red]", soft_wrap=True)


@contextmanager
def _interrupted() -> Iterator[None]:
    """DuckDB answers Ctrl-C with an error of its own; the file that was being loaded is rolled back either way."""
    try:
        yield
    except RuntimeError as error:
        if "interrupt" not in str(error).lower():
            raise
        raise KeyboardInterrupt from None


class _Bar:
    """A progress bar with rate and time left, one line for each part of the import."""

    def __init__(self, quiet: bool) -> None:
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"), TimeRemainingColumn(),
        )  # fmt: skip
        self._progress = Progress(*columns, console=output.err, disable=quiet, transient=True)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, step: Step) -> None:
        if step.label not in self._tasks:
            self._tasks[step.label] = self._progress.add_task(step.label, total=step.total or None, rate="")
        task = self._tasks[step.label]
        speed = self._progress.tasks[task].speed
        rate = f"{speed:,.0f}/s" if speed else ""
        self._progress.update(task, completed=step.done, total=step.total or None, rate=rate)
