"""`rules diff` and the comparison of two plans: which customers a change adds and removes."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer

from mailshot.cli import context, output

if TYPE_CHECKING:
    from mailshot.campaign.plan_diff import PlanDiff
    from mailshot.campaign.rule_diff import Change, Diff, Movement

Examples = Annotated[
    int, typer.Option("--examples", help="Number of example customers to show for each change.", min=0, max=100)
]


def diff(
    before: Annotated[str, typer.Argument(help="A git revision, or a folder with rules.")] = "HEAD",
    after: Annotated[str | None, typer.Argument(help="The same. Default: the project as it is now.")] = None,
    audience: Annotated[str | None, typer.Option("--audience", help="Compare only this audience.")] = None,
    as_of: context.AsOf = None,
    examples: Examples = 5,
    json: context.AsJson = False,
) -> None:
    """Show who enters and leaves each audience between two versions of the rules, and why."""
    from mailshot.campaign import rule_diff as stage
    from mailshot.rulebook import versions

    app = context.app()
    project = app.settings.project
    old, new = versions.read_version(project, before), versions.read_version(project, after)
    with output.err.status("Comparing …"):
        difference = stage.compare_versions(app.store, old, new, as_of, context.now(), audience, examples)
    output.print_json(difference.as_dict()) if json else print_diff(difference)


def print_diff(diff: Diff) -> None:
    """Print a difference of rules for people."""
    versions = f"{output.printable(diff.before)} -> {output.printable(diff.after)}"
    output.print_text(f"[bold]{versions}[/bold] as of {diff.as_of:%Y-%m-%d %H:%M %Z}")
    for kind in diff.unchanged:
        changes = [change for change in diff.changes if change.kind == kind]
        if changes:
            columns = (kind, "before", "after", "entered", "spent", "left", "spent")
            output.print_table("", columns, [_row(change) for change in changes], right=range(1, 7))
    for change in diff.changes:
        _line(change)
    same = [f"{len(names):,} {kind}{'s' * (len(names) != 1)}" for kind, names in diff.unchanged.items() if names]
    if same:
        output.print_text(f"{' and '.join(same)} unchanged.")
    if diff.changes:
        output.print_text(f"Spent: in the year before, in {output.printable(diff.currency)}.")
    for note in diff.notes:
        output.print_text(f"[yellow]{output.printable(note)}[/yellow]")


def print_moves(diff: PlanDiff | None) -> None:
    """Print how customers moved between two plans, or a run and a plan."""
    if diff is None:
        output.print_text("There is no earlier plan to compare with.")
        return
    since = f"Since {output.printable(diff.since)}"
    if not diff.moves:
        output.print_text(f"{since}: no customer enters, leaves, or gets different content.")
        return
    rows = [(move.was, move.now, move.customers, format_amount(move.spent)) for move in diff.moves]
    output.print_table(since, ("from", "to", "customers", f"spent {diff.currency}"), rows, right=(2, 3))
    for move in diff.moves:
        if move.examples:
            output.print_text(output.printable(f"  {move.was} -> {move.now}: {', '.join(move.examples)}"))


def format_amount(spent: Decimal) -> str:
    return f"{spent:,.2f}"


def _row(change: Change) -> tuple[object, ...]:
    sizes = ("-" if size is None else size for size in (change.before, change.after))
    moved = ((part.customers, format_amount(part.spent)) for part in (change.entered, change.left))
    return (change.name, *sizes, *(cell for pair in moved for cell in pair))


def _line(change: Change) -> None:
    name = f"[bold]{output.printable(change.name)}[/bold]"
    if change.before is None or change.after is None:
        output.print_text(f"{name} ({change.kind}): only {'after' if change.before is None else 'before'}")
        return
    still = "" if change.entered.customers or change.left.customers else "; no customer moves"
    output.print_text(f"{name} ({change.kind}): {output.printable(', '.join(change.causes))}{still}")
    if not change.repeated:
        _examples("+", change.entered)
        _examples("-", change.left)


def _examples(sign: str, moved: Movement) -> None:
    for key, reason in moved.examples:
        output.print_text(f"  {sign} {output.printable(key)}: {output.printable(reason)}")
    more = moved.customers - len(moved.examples)
    if moved.examples and more:
        output.print_text(f"    [dim]and {more:,} more[/dim]")
