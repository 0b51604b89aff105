"""`rules check`, `list`, `count`, `values` and `schema`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mailshot import safe_files
from mailshot.cli import context, output
from mailshot.errors import Problem, Refused

if TYPE_CHECKING:
    from mailshot.rulebook.rulebook import Rulebook


FOLDER = Path("rules/schemas")


def schema(
    to: Annotated[Path | None, typer.Option(help=f"Folder to write to; {FOLDER} of the project by default.")] = None,
    general: Annotated[bool, typer.Option(help="Accept any facts, events and names (any shop).")] = False,
) -> None:
    """Write a JSON Schema for each kind of YAML file, including this project's facts, events and names."""
    from mailshot import json_schemas

    project = None if general else context.settings().project
    schemas = json_schemas.general() if project is None else json_schemas.schema_for(context.rulebook(project))
    folder = to or (project or Path()) / FOLDER
    if to is None and not safe_files.is_inside(folder, project or Path()):
        raise Refused(f"{folder} is a link that leads out of the project.", "Remove it, or name a folder by --to.")
    write_schemas(schemas, folder)
    output.print_text(f"Wrote {len(schemas)} schemas to {output.printable(folder)}.")
    output.print_next_step(f"start a file with: # yaml-language-server: $schema=../schemas/{next(iter(schemas))}.json")


def write_schemas(schemas: Mapping[str, object], folder: Path) -> None:
    """Write schemas to a folder, each to a file of its name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, body in schemas.items():
        safe_files.write_shared(folder / f"{name}.json", schema_text(body).encode())


def schema_text(body: object) -> str:
    """Return a schema as its file holds it."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")) + "\n"


def check(json: context.AsJson = False) -> None:
    """Check every file under rules/ and every template that a campaign uses."""
    from mailshot.campaign import lint, rule_tests, snapshot
    from mailshot.errors import InvalidInput

    settings = context.settings()
    project = settings.project
    rules = context.rulebook(project)
    problems = rules.check()
    problems += rule_tests.example_problems(rules, context.now())
    remarks: list[Problem] = []
    used: set[str] = set()
    for name in _campaigns(rules):
        try:
            edition = snapshot.take_snapshot(rules, project, name)
            new_problems = snapshot.faults(edition)
            used |= edition.mailing().used_names
            remarks += snapshot.faults(edition, "warning")
        except InvalidInput as error:
            new_problems = [*error.problems, *lint.template_problems(rules, project, name)]
        problems += [problem for problem in dict.fromkeys(new_problems) if problem not in problems]
    doubts = lint.rule_warnings(rules, context.company_today(rules, None).date()) if not problems else []
    doubts += lint.unused_logo(rules, used) if not problems else []
    doubts += context.unread_replies(settings, rules, rules.senders) if not problems else []
    doubts += [*dict.fromkeys(remarks), *_outdated(rules, project)]
    if json:
        levels = [("error", problem) for problem in problems] + [("warning", problem) for problem in doubts]
        output.print_json([{"level": level, **asdict(problem)} for level, problem in levels])
    for doubt in doubts if not json else ():
        output.print_problem("Warning", "yellow", doubt)
    context.refuse(problems)
    if not json:
        audiences = output.count_noun(len(rules.book.names), "audience")
        campaigns = output.count_noun(len(rules.campaigns), "campaign")
        output.print_text(f"{len(rules.files)} files are valid: {audiences}, {campaigns}.")
        _warn(rules)
        output.print_next_step("mailshot rules count")


def values(
    field: Annotated[str, typer.Argument(help="A product field: department, category, brand, …")],
    part: Annotated[str, typer.Argument(help="Show only values that contain this text, ignoring case.")] = "",
    json: context.AsJson = False,
) -> None:
    """List the values of a product field, exactly as rules must write them."""
    from mailshot.errors import NotFound, nearest
    from mailshot.store import values as store_values

    app = context.app()
    facts = context.rulebook(app.settings.project).catalogue.product
    if field not in facts:
        raise NotFound(f"There is no product field '{field}'.", nearest(field, facts))
    with app.store.read() as connection:
        every = store_values.count_values(connection, facts[field])
    counts = {value: number for value, number in every.items() if part.lower() in value.lower()}
    if every and not counts:
        raise NotFound(f"No product has a {field} that contains '{part}'.", nearest(part, every))
    output.print_json(counts) if json else output.print_table("", (field, "products"), list(counts.items()), right=(1,))


def list_() -> None:
    """List all audiences and campaigns with their descriptions."""
    from mailshot.errors import InvalidInput

    rules, problems = context.load_valid_rules(context.settings().project)
    rows = [("audience", item.name, item.description) for item in rules.book.valid_audiences()]
    problems += rules.book.problems
    for name in rules.campaigns:
        try:
            rows.append(("campaign", name, rules.campaign(name).campaign.description))
        except InvalidInput as error:
            problems += [problem for problem in error.problems if problem not in problems]
    output.print_table("", ("", "name", "description"), rows)
    context.refuse(problems)


def count(
    audience: Annotated[str | None, typer.Argument(help="An audience. Default: all.")] = None,
    as_of: context.AsOf = None,
    json: context.AsJson = False,
) -> None:
    """Count the customers of one audience, or of all valid audiences."""
    from mailshot.store import audiences

    app = context.app()
    rules, problems = context.load_valid_rules(app.settings.project)
    if audience:
        # An audience that is not there may be in a file that cannot be read.
        context.refuse(problems if audience not in rules.book.names else ())
        chosen, problems = [rules.book.audience(audience)], []
    else:
        chosen = rules.book.valid_audiences()
        problems += rules.book.problems
    compiled = audiences.compiler(context.company_today(rules, as_of), rules.company.time_zone, back=as_of is not None)
    with app.store.read() as connection:
        everyone = audiences.customers(connection)
    numbers = {item.name: audiences.count_matching(app.store, compiled, item.condition) for item in chosen}
    if json:
        errors = [asdict(problem) for problem in problems]
        output.print_json({"customers": everyone, "audiences": numbers, "errors": errors})
    else:
        descriptions = {item.name: item.description for item in chosen}
        output.print_counts(
            f"{output.count_noun(everyone, 'customer')} as of {compiled.as_of:%Y-%m-%d}",
            numbers,
            "audience",
            descriptions,
        )
    context.refuse(problems)


def _campaigns(rules: Rulebook) -> list[str]:
    """Return the campaigns; none if two files have the same name, which is reported separately."""
    from mailshot.errors import InvalidInput

    try:
        return list(rules.campaigns)
    except InvalidInput:
        return []


def _outdated(rules: Rulebook, project: Path) -> list[Problem]:
    """Report schedules whose version differs from the files, if there is a database."""
    from mailshot.campaign import schedule_diff
    from mailshot.errors import MailshotError

    try:
        with context.app().store.read() as connection:
            outdated = [item for item in schedule_diff.compare_schedules(connection, project) if not item.current]
        files = {name: document.name for name, document in rules.campaigns.items()}
    except MailshotError:
        return []
    texts = {item.campaign: f"'{item.campaign}' is {item.words()}. {item.remedy()}." for item in outdated}
    return [Problem(files.get(name, "rules/campaigns"), 0, 0, text) for name, text in texts.items()]


def _warn(rules: Rulebook) -> None:
    """Check the products that rules name against the imported products, if there are any."""
    from mailshot.campaign import lint
    from mailshot.errors import MailshotError

    try:
        with context.app().store.read() as connection:
            for warning in lint.unknown_values(connection, rules):
                output.print_problem("Warning", "yellow", warning)
    except MailshotError:
        return  # rules can be checked without a database
