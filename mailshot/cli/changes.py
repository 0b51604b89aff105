"""Owns showing what a change does: `rules diff`, and the difference of a plan."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer

from mailshot.cli import shared

if TYPE_CHECKING:
    from mailshot.campaign.diff import Change, Diff, Moved
    from mailshot.campaign.moves import Moves

Examples = Annotated[
    int, typer.Option("--examples", help="So many customers as examples of each move.", min=0, max=100)
]


def diff(
    before: Annotated[str, typer.Argument(help="A git revision, or a folder with rules.")] = "HEAD",
    after: Annotated[str | None, typer.Argument(help="The same; without it, the project as it is now.")] = None,
    audience: Annotated[str | None, typer.Option("--audience", help="Look at one audience only.")] = None,
    as_of: shared.AsOf = None,
    examples: Examples = 5,
    json: shared.AsJson = False,
) -> None:
    """Show who enters and leaves each audience between two versions of the rules, and why."""
    from mailshot.campaign import diff as stage
    from mailshot.campaign import revisions

    app = shared.app()
    project = app.settings.project
    old, new = revisions.read(project, before), revisions.read(project, after)
    with shared.err.status("Comparing …"):
        found = stage.compare(app.store, old, new, as_of, shared.now(), audience, examples)
    shared.as_json(found.as_dict()) if json else show(found)


def show(found: Diff) -> None:
    """Print a difference of rules for people."""
    versions = f"{shared.plain(found.before)} -> {shared.plain(found.after)}"
    shared.say(f"[bold]{versions}[/bold] as of {found.as_of:%Y-%m-%d %H:%M %Z}")
    for kind in found.unchanged:
        changes = [change for change in found.changes if change.kind == kind]
        if changes:
            columns = (kind, "before", "after", "entered", "spent", "left", "spent")
            shared.table("", columns, [_row(change) for change in changes], right=range(1, 7))
    for change in found.changes:
        _told(change)
    same = [f"{len(names):,} {kind}{'s' * (len(names) != 1)}" for kind, names in found.unchanged.items() if names]
    if same:
        shared.say(f"{' and '.join(same)} unchanged.")
    if found.changes:
        shared.say(f"Spent: in the year before, in {shared.plain(found.currency)}.")
    for note in found.notes:
        shared.say(f"[yellow]{shared.plain(note)}[/yellow]")


def show_moves(found: Moves | None) -> None:
    """Print how customers moved between two plans, or a run and a plan."""
    if found is None:
        shared.say("There is no earlier plan to compare with.")
        return
    since = f"Since {shared.plain(found.since)}"
    if not found.moves:
        shared.say(f"{since}: nobody enters, leaves, or gets something else.")
        return
    rows = [(move.was, move.now, move.customers, money(move.spent)) for move in found.moves]
    shared.table(since, ("from", "to", "customers", f"spent {found.currency}"), rows, right=(2, 3))
    for move in found.moves:
        if move.examples:
            shared.say(shared.plain(f"  {move.was} -> {move.now}: {', '.join(move.examples)}"))


def money(spent: Decimal) -> str:
    return f"{spent:,.2f}"


def _row(change: Change) -> tuple[object, ...]:
    sizes = ("-" if size is None else size for size in (change.before, change.after))
    moved = ((part.customers, money(part.spent)) for part in (change.entered, change.left))
    return (change.name, *sizes, *(cell for pair in moved for cell in pair))


def _told(change: Change) -> None:
    name = f"[bold]{shared.plain(change.name)}[/bold]"
    if change.before is None or change.after is None:
        shared.say(f"{name} ({change.kind}): only {'after' if change.before is None else 'before'}")
        return
    still = "" if change.entered.customers or change.left.customers else "; nobody moves"
    shared.say(f"{name} ({change.kind}): {shared.plain(', '.join(change.causes))}{still}")
    if not change.told:
        _examples("+", change.entered)
        _examples("-", change.left)


def _examples(sign: str, moved: Moved) -> None:
    for key, told in moved.examples:
        shared.say(f"  {sign} {shared.plain(key)}: {shared.plain(told)}")
    more = moved.customers - len(moved.examples)
    if moved.examples and more:
        shared.say(f"    [dim]and {more:,} more[/dim]")
