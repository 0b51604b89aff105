"""Owns `rules explain`: why a customer is in, or gets a mail, or not; refuses to decide anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mailshot.cli import shared, trees

if TYPE_CHECKING:
    from mailshot.campaign.explain import Explanation

YES, NO = "[green]✓[/green]", "[red]✗[/red]"


def explain(
    name: Annotated[str, typer.Argument(help="An audience or a campaign.")],
    customer: Annotated[str, typer.Argument(help="A customer's key or address.")],
    as_of: shared.AsOf = None,
    run: Annotated[
        int | None, typer.Option(help="A past run of the campaign: with the rules and facts of then.")
    ] = None,
    json: shared.AsJson = False,
) -> None:
    """Say why a customer is in an audience, or gets a campaign's mail with these products, or not."""
    found, campaign = _find(name, customer, as_of, run)
    shared.as_json(found.as_dict()) if json else _show(name, found, campaign)


def _find(name: str, customer: str, as_of: shared.AsOf, run: int | None) -> tuple[Explanation, bool]:
    from mailshot.campaign import explain as stage
    from mailshot.campaign import scheduled
    from mailshot.errors import NotFound, nearest

    app = shared.app()
    if run is not None:
        return stage.run(app.store, name, run, customer), True
    rules = shared.rulebook(app.settings.project)
    if name in rules.campaigns:
        edition = shared.edition(app, name)
        return stage.campaign(app.store, edition, customer, shared.today(edition, as_of)), True
    if name in rules.book.names:
        today, audience = shared.company_today(rules, as_of), rules.book.audience(name)
        return stage.audience(app.store, rules, audience, customer, today, back=as_of is not None), False
    scheduled.refuse_gone(app.store, rules, name)
    known = [*rules.campaigns, *rules.book.names]
    raise NotFound(f"There is no audience or campaign '{name}'.", nearest(name, known))


def _show(name: str, found: Explanation, campaign: bool) -> None:
    shared.print_text(
        f"[bold]{shared.printable(name)}[/bold] for customer {shared.printable(found.customer)}, as of {found.as_of:%Y-%m-%d}"
    )
    shared.out.print(trees.verdict_tree("audience", found.audience))
    if campaign:
        _show_campaign(found)
        return
    shared.print_text(f"[bold]{found.outcome()}[/bold]")
    if found.needed:
        shared.print_text("To get in:")
    for change in found.needed:
        shared.print_text(f"  - {shared.printable(change.words())}")


def _show_campaign(found: Explanation) -> None:
    for content, verdict in found.contents.items():
        shared.out.print(trees.verdict_tree(f"content '{content}' when", verdict))
    for guard, verdict in found.guards.items():
        shared.out.print(trees.verdict_tree(f"guard '{guard}' applies", verdict))
    shared.print_text("[dim]what a mail must pass[/dim]")
    for check in found.checks:
        remedy = f": {shared.printable(check.remedy)}" if check.remedy else ""
        said = f"{shared.printable(check.name)}  [dim]{shared.printable(check.found)}[/dim]"
        shared.print_text(f"  {YES if check.passes else NO} {said}{remedy}")
    for offer in found.offers:
        shared.print_text(f"  offer: {shared.printable(offer.words())}")
    for delivery in found.deliveries:
        shared.print_text(f"  {shared.printable(delivery)}")
    shared.print_text(f"[bold]{shared.printable(found.outcome())}[/bold]")
