"""`rules explain`: why a customer is in an audience or gets a mail, or why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.tree import Tree

from mailshot.cli import context, output

if TYPE_CHECKING:
    from mailshot.audience.evaluate import Verdict
    from mailshot.audience.nodes import Condition
    from mailshot.campaign.explain import Explanation


YES, NO = "[green]✓[/green]", "[red]✗[/red]"


def explain(
    name: Annotated[str, typer.Argument(help="An audience or a campaign.")],
    customer: Annotated[str, typer.Argument(help="A customer's key or address.")],
    as_of: context.AsOf = None,
    run: Annotated[
        int | None, typer.Option(help=f"Explain this run, with the rules and facts it used. {context.RUN_HELP}")
    ] = None,
    json: context.AsJson = False,
) -> None:
    """Explain why a customer is or is not in an audience, or gets or does not get a campaign's mail and offers."""
    explanation, campaign = _find(name, customer, as_of, run)
    output.print_json(explanation.as_dict()) if json else _show(name, explanation, campaign)


def _find(name: str, customer: str, as_of: context.AsOf, run: int | None) -> tuple[Explanation, bool]:
    from mailshot.campaign import explain as stage
    from mailshot.campaign import schedule_diff
    from mailshot.errors import NotFound, nearest

    app = context.app()
    if run is not None:
        return stage.explain_run(app.store, name, run, customer), True
    rules = context.rulebook(app.settings.project)
    if name in rules.campaigns:
        edition = context.read_edition(app, name)
        return stage.explain_campaign(app.store, edition, customer, context.today(edition, as_of)), True
    if name in rules.book.names:
        today, audience = context.company_today(rules, as_of), rules.book.audience(name)
        return stage.explain_audience(app.store, rules, audience, customer, today, back=as_of is not None), False
    schedule_diff.refuse_gone(app.store, rules, name)
    known = [*rules.campaigns, *rules.book.names]
    raise NotFound(f"There is no audience or campaign '{name}'.", nearest(name, known))


def _show(name: str, explanation: Explanation, campaign: bool) -> None:
    customer, day = output.printable(explanation.customer), f"{explanation.as_of:%Y-%m-%d}"
    output.print_text(f"[bold]{output.printable(name)}[/bold] for customer {customer}, as of {day}")
    output.out.print(verdict_tree("audience", explanation.audience))
    if explanation.corrected:
        output.print_text(f"[dim]corrected by the customer: {output.printable(', '.join(explanation.corrected))}[/dim]")
    if campaign:
        _show_campaign(explanation)
        return
    output.print_text(f"[bold]{explanation.outcome()}[/bold]")
    if explanation.needed:
        output.print_text("To match:")
    for change in explanation.needed:
        output.print_text(f"  - {output.printable(change.words())}")


def _show_campaign(explanation: Explanation) -> None:
    for content, verdict in explanation.contents.items():
        output.out.print(verdict_tree(f"content '{content}' when", verdict))
    for guard, verdict in explanation.guards.items():
        output.out.print(verdict_tree(f"guard '{guard}' applies", verdict))
    output.print_text("[dim]checks for this mail[/dim]")
    for check in explanation.checks:
        remedy = f": {output.printable(check.remedy)}" if check.remedy else ""
        finding = f"{output.printable(check.name)}  [dim]{output.printable(check.finding)}[/dim]"
        output.print_text(f"  {YES if check.passes else NO} {finding}{remedy}")
    for offer in explanation.offers:
        output.print_text(f"  offer: {output.printable(offer.words())}")
    if explanation.language:
        output.print_text(f"  language: {output.printable(explanation.language)}")
    for delivery in explanation.deliveries:
        output.print_text(f"  {output.printable(delivery)}")
    output.print_text(f"[bold]{output.printable(explanation.outcome())}[/bold]")


def verdict_tree(label: str, verdict: Verdict, condition: Condition | None = None) -> Tree:
    """Return a verdict as a tree; with its condition, each line shows its line number in the rule file."""
    return _grow(Tree(f"[dim]{output.printable(label)}[/dim]"), verdict, condition, "")


def _grow(tree: Tree, verdict: Verdict, condition: Condition | None, where: str) -> Tree:
    sign = "[green]✓[/green]" if verdict.holds else "[red]✗[/red]"
    value = f"  [dim]{output.printable(verdict.found)}[/dim]" if verdict.found else ""
    place = f"  [dim]line {verdict.line}{output.printable(where)}[/dim]" if condition else ""
    branch = tree.add(f"{sign} {output.printable(verdict.words)}{value}{place}")
    inner = condition.children if condition else ()
    # Conditions of another audience are in another file.
    where = f" of '{named}'" if (named := getattr(condition, "audience", "")) else where
    for number, part in enumerate(verdict.parts):
        _grow(branch, part, inner[number] if condition else None, where)
    return tree
