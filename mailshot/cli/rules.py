"""Owns `rules`: check them, list them, count them, explain them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mailshot.cli import shared
from mailshot.errors import Problem

if TYPE_CHECKING:
    from mailshot.campaign.rulebook import Rulebook


def check(json: shared.AsJson = False) -> None:
    """Check every file under rules/ and every template that a campaign uses."""
    from mailshot.campaign import doubting, examples, frozen, templates
    from mailshot.errors import InvalidInput

    project = shared.settings().project
    rules = shared.rulebook(project)
    problems = rules.check()
    problems += examples.problems(rules, shared.now())
    for name in _campaigns(rules):
        try:
            found = frozen.faults(frozen.edition(rules, project, name))
        except InvalidInput as error:
            found = [*error.problems, *templates.problems(rules, project, name)]
        problems += [problem for problem in dict.fromkeys(found) if problem not in problems]
    doubts = doubting.all_of(rules, shared.company_today(rules, None).date()) if not problems else []
    doubts += _outdated(rules, project)
    if json:
        levels = [("error", problem) for problem in problems] + [("warning", problem) for problem in doubts]
        shared.as_json([{"level": level, **asdict(problem)} for level, problem in levels])
    for doubt in doubts if not json else ():
        shared.say(f"[yellow]Warning:[/yellow] {shared.plain(doubt)}")
    shared.refuse(problems)
    if not json:
        audiences = shared.counted(len(rules.book.names), "audience")
        campaigns = shared.counted(len(rules.campaigns), "campaign")
        shared.say(f"{len(rules.files)} files are sound: {audiences}, {campaigns}.")
        _warn(rules)
        shared.next_step("mailshot rules count")


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
    if every and not found:
        raise NotFound(f"No product has a {field} that contains '{part}'.", nearest(part, every))
    shared.as_json(found) if json else shared.table("", (field, "products"), list(found.items()), right=(1,))


def list_() -> None:
    """List the audiences and campaigns with what they say."""
    from mailshot.errors import InvalidInput

    rules, problems = shared.sound(shared.settings().project)
    rows = [("audience", item.name, item.description) for item in rules.book.sound()]
    problems += rules.book.problems
    for name in rules.campaigns:
        try:
            rows.append(("campaign", name, rules.campaign(name).campaign.description))
        except InvalidInput as error:
            problems += [problem for problem in error.problems if problem not in problems]
    shared.table("", ("", "name", "description"), rows)
    shared.refuse(problems)


def count(
    audience: Annotated[str | None, typer.Argument(help="One audience; all of them without a name.")] = None,
    as_of: shared.AsOf = None,
    json: shared.AsJson = False,
) -> None:
    """Count the customers of one audience, or of each that is sound."""
    from mailshot.store import audiences

    app = shared.app()
    rules, problems = shared.sound(app.settings.project)
    if audience:
        # An audience that is not there may be in a file that cannot be read.
        shared.refuse(problems if audience not in rules.book.names else ())
        chosen, problems = [rules.book.audience(audience)], []
    else:
        chosen = rules.book.sound()
        problems += rules.book.problems
    compiled = audiences.compiler(shared.company_today(rules, as_of), rules.company.time_zone, back=as_of is not None)
    with app.store.read() as connection:
        everyone = audiences.customers(connection)
    numbers = {item.name: audiences.count(app.store, compiled, item.condition) for item in chosen}
    if json:
        told = [asdict(problem) for problem in problems]
        shared.as_json({"customers": everyone, "audiences": numbers, "errors": told})
    else:
        said = {item.name: item.description for item in chosen}
        shared.counts(
            f"{shared.counted(everyone, 'customer')} as of {compiled.as_of:%Y-%m-%d}", numbers, "audience", said
        )
    shared.refuse(problems)


def _campaigns(rules: Rulebook) -> list[str]:
    """Return the campaigns; none while two files bear one name, which is a problem of its own."""
    from mailshot.errors import InvalidInput

    try:
        return list(rules.campaigns)
    except InvalidInput:
        return []


def _outdated(rules: Rulebook, project: Path) -> list[Problem]:
    """Tell of the schedules whose version the files no longer say, where there is a database."""
    from mailshot.campaign import scheduled
    from mailshot.errors import MailshotError

    try:
        with shared.app().store.read() as connection:
            found = [item for item in scheduled.every(connection, project) if not item.current]
        files = {name: document.name for name, document in rules.campaigns.items()}
    except MailshotError:
        return []
    told = {item.campaign: f"'{item.campaign}' is {item.words()}. {item.remedy()}." for item in found}
    return [Problem(files.get(name, "rules/campaigns"), 0, 0, words) for name, words in told.items()]


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
