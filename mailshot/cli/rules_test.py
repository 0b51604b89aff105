"""`rules test`: runs the examples in rule files, and shows what would have to change where one fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mailshot.cli import context, explain, output
from mailshot.errors import InvalidInput

if TYPE_CHECKING:
    from mailshot.campaign.rule_tests import ExampleResult, RuleTestReport


def run(
    audience: Annotated[str | None, typer.Argument(help="An audience. Default: all.")] = None,
    json: context.AsJson = False,
) -> None:
    """Run the examples in the rule files: made-up customers, and whether the rule should match them."""
    from mailshot.campaign import rule_tests

    rules, problems = context.load_valid_rules(context.settings().project)
    if audience:
        # An audience that is not there may be in a file that cannot be read.
        context.refuse(problems if audience not in rules.book.names else ())
        chosen, problems = [rules.book.audience(audience)], []
    else:
        chosen = rules.book.valid_audiences()
        problems += rules.book.problems
    now = context.now()
    with output.err.status("Trying …"):
        report = rule_tests.run_examples(rules, now, chosen)
    problems += rule_tests.example_problems(rules, now, audience)
    output.print_json(report.as_dict()) if json else _show(report)
    context.refuse(problems)
    if any(not outcome.agreed for outcome in report.outcomes):
        raise typer.Exit(1)  # a bug of ours
    if report.failed:
        raise typer.Exit(InvalidInput.exit_code)


def _show(report: RuleTestReport) -> None:
    for outcome in report.failed:
        _explain(outcome)
    held = len({outcome.audience.name for outcome in report.outcomes})
    summary = f"{_number(len(report.outcomes), 'example')} in {_number(held, 'audience')}"
    failed = len(report.failed)
    how = f"[red]{failed:,} failed.[/red]" if failed else "[green]all passed.[/green]"
    output.print_text(f"{summary}: {how}" if report.outcomes else "There are no examples.")
    if report.without:
        none = "has no examples" if len(report.without) == 1 else "have no examples"
        names = output.printable(", ".join(report.without))
        output.print_text(f"[dim]{_number(len(report.without), 'audience')} {none}: {names}.[/dim]")
    if failed:
        output.print_next_step("fix the rule or the example, then: mailshot rules test")


def _explain(outcome: ExampleResult) -> None:
    example, audience = outcome.example, outcome.audience
    title, place = f"{audience.name}: {example.name}", f"{audience.file}:{example.line}"
    output.print_text(f"[red]✗[/red] [bold]{output.printable(title)}[/bold] ({output.printable(place)})")
    output.print_text(f"  {output.printable(outcome.words())}")
    label = f"as of {example.as_of:%Y-%m-%d %H:%M}"
    output.out.print(explain.verdict_tree(label, outcome.verdict, audience.condition))
    for change in outcome.changes:
        wanted = "To match" if example.matches else "Not to match"
        output.print_text(f"  {wanted}: {output.printable(change)}")
    output.print_text()


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"
