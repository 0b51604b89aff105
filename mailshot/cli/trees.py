"""Owns drawing verdicts as trees of ✓ and ✗; refuses to judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.tree import Tree

from mailshot.cli import shared

if TYPE_CHECKING:
    from mailshot.audience.evaluate import Verdict
    from mailshot.audience.nodes import Condition


def verdict_tree(label: str, verdict: Verdict, condition: Condition | None = None) -> Tree:
    """Return the tree of a verdict; with the condition it was given on, each line says where it stands in its file."""
    return _grow(Tree(f"[dim]{shared.printable(label)}[/dim]"), verdict, condition, "")


def _grow(tree: Tree, verdict: Verdict, condition: Condition | None, where: str) -> Tree:
    sign = "[green]✓[/green]" if verdict.holds else "[red]✗[/red]"
    found = f"  [dim]{shared.printable(verdict.found)}[/dim]" if verdict.found else ""
    place = f"  [dim]line {verdict.line}{shared.printable(where)}[/dim]" if condition else ""
    branch = tree.add(f"{sign} {shared.printable(verdict.words)}{found}{place}")
    inner = condition.children if condition else ()
    # What another audience says stands in a file of its own.
    where = f" of '{named}'" if (named := getattr(condition, "audience", "")) else where
    for number, part in enumerate(verdict.parts):
        _grow(branch, part, inner[number] if condition else None, where)
    return tree
