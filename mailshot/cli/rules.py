"""Owns `rules`: check them, list them, count them, explain them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.tree import Tree

from mailshot.cli import shared

if TYPE_CHECKING:
    from mailshot.audience.evaluate import Verdict
    from mailshot.campaign.explain import Explanation
    from mailshot.campaign.rulebook import Rulebook

cli = typer.Typer(help="Check, count and explain rules.", no_args_is_help=True)


@cli.command()
def check(json: shared.AsJson = False) -> None:
    """Check every file under rules/ and every template that a campaign uses."""
    from mailshot.campaign import frozen
    from mailshot.errors import InvalidInput

    project = shared.settings().project
    rules = shared.rulebook(project)
    problems = rules.check()
    for name in rules.campaigns if not problems else ():
        try:
            frozen.edition(rules, project, name).mailing()
        except InvalidInput as error:
            problems += [problem for problem in error.problems if problem not in problems]
    if json:
        shared.as_json([asdict(problem) for problem in problems])
    shared.refuse(problems)
    if not json:
        shared.say(
            f"{len(rules.files)} files are sound: {len(rules.book.names)} audiences, {len(rules.campaigns)} campaigns."
        )
        _warn(rules)
        shared.next_step("mailshot rules count")


@cli.command()
def values(
    field: Annotated[str, typer.Argument(help="A product field: department, category, brand, …")],
    part: Annotated[str, typer.Argument(help="Only values that contain this, in whatever case.")] = "",
    json: shared.AsJson = False,
) -> None:
    """List the values that products have, to write them in rules to the letter."""
    from mailshot.errors import NotFound, nearest
    from mailshot.store import products

    app = shared.app()
    facts = shared.rulebook(app.settings.project).catalogue.product
    if field not in facts:
        raise NotFound(f"There is no product field '{field}'.", nearest(field, facts))
    with app.store.read() as connection:
        every = products.values(connection, facts[field])
    found = {value: number for value, number in every.items() if part.lower() in value.lower()}
    shared.as_json(found) if json else shared.table("", (field, "products"), list(found.items()), right=(1,))


@cli.command("list")
def list_() -> None:
    """List the audiences and campaigns with what they say."""
    rules = shared.rulebook(shared.settings().project)
    rows = [("audience", item.name, item.description) for item in rules.audiences()]
    rows += [("campaign", name, rules.campaign(name).campaign.description) for name in rules.campaigns]
    shared.table("", ("", "name", "description"), rows)


@cli.command()
def count(
    audience: Annotated[str | None, typer.Argument(help="One audience; all of them without a name.")] = None,
    as_of: shared.AsOf = None,
    json: shared.AsJson = False,
) -> None:
    """Count the customers of one audience, or of each."""
    from mailshot.store import audiences

    app = shared.app()
    rules = shared.rulebook(app.settings.project)
    chosen = [rules.book.audience(audience)] if audience else rules.audiences()
    compiled = audiences.compiler(shared.company_today(rules, as_of), rules.company.time_zone)
    with app.store.read() as connection:
        everyone = audiences.customers(connection)
        numbers = {item.name: audiences.count(connection, compiled, item.condition) for item in chosen}
    if json:
        shared.as_json({"customers": everyone, "audiences": numbers})
        return
    told = {item.name: item.description for item in chosen}
    shared.counts(f"{everyone:,} customers as of {compiled.as_of:%Y-%m-%d}", numbers, "audience", told)


@cli.command()
def explain(
    name: Annotated[str, typer.Argument(help="An audience or a campaign.")],
    customer: Annotated[str, typer.Argument(help="A customer's key or address.")],
    as_of: shared.AsOf = None,
    json: shared.AsJson = False,
) -> None:
    """Say why a customer is in an audience, or gets a campaign's mail with these products, or not."""
    from mailshot.campaign import explain as stage
    from mailshot.errors import NotFound, nearest

    app = shared.app()
    rules = shared.rulebook(app.settings.project)
    if name in rules.campaigns:
        edition = shared.edition(app.settings.project, name)
        found = stage.campaign(app.store, edition, customer, shared.today(edition, as_of))
    elif name in rules.book.names:
        today = shared.company_today(rules, as_of)
        found = stage.audience(app.store, rules, rules.book.audience(name), customer, today)
    else:
        known = [*rules.campaigns, *rules.book.names]
        raise NotFound(f"There is no audience or campaign '{name}'.", nearest(name, known))
    shared.as_json(found.as_dict()) if json else _show(name, found, name in rules.campaigns)


def _warn(rules: Rulebook) -> None:
    """Hold the products that rules name against the catalogue, where there is one already."""
    from mailshot.campaign import spelling
    from mailshot.errors import MailshotError

    try:
        with shared.app().store.read() as connection:
            for warning in spelling.strangers(connection, rules):
                shared.say(f"[yellow]Warning:[/yellow] {shared.plain(warning)}")
    except MailshotError:
        return  # rules can be checked without a database


def _show(name: str, found: Explanation, campaign: bool) -> None:
    shared.say(
        f"[bold]{shared.plain(name)}[/bold] for customer {shared.plain(found.customer)}, as of {found.as_of:%Y-%m-%d}"
    )
    shared.out.print(_tree("audience", found.audience))
    if not campaign:
        shared.say("In the audience." if found.audience.holds else "Not in the audience.")
        return
    for content, verdict in found.contents.items():
        shared.out.print(_tree(f"content '{content}' when", verdict))
    for guard, verdict in found.guards.items():
        shared.out.print(_tree(f"guard '{guard}' applies", verdict))
    for offer in found.offers:
        shared.say(f"  offer: {shared.plain(offer.words())}")
    for delivery in found.deliveries:
        shared.say(f"  {shared.plain(delivery)}")
    shared.say(f"[bold]{shared.plain(found.outcome())}[/bold]")


def _tree(label: str, verdict: Verdict) -> Tree:
    return _grow(Tree(f"[dim]{shared.plain(label)}[/dim]"), verdict)


def _grow(tree: Tree, verdict: Verdict) -> Tree:
    sign = "[green]✓[/green]" if verdict.holds else "[red]✗[/red]"
    found = f"  [dim]{shared.plain(verdict.found)}[/dim]" if verdict.found else ""
    branch = tree.add(f"{sign} {shared.plain(verdict.words)}{found}")
    for part in verdict.parts:
        _grow(branch, part)
    return tree
