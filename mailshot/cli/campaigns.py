"""`plan`, `launch`, `pause`, `resume`, `cancel` and `resolve`."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from mailshot.cli import context, output, rules_diff
from mailshot.errors import InvalidInput, NotFound, Refused, SettingsError
from mailshot.states import Reason, RunState

if TYPE_CHECKING:
    from mailshot.bootstrap import App
    from mailshot.campaign.launch import Launched
    from mailshot.campaign.plan import CampaignPlan
    from mailshot.campaign.snapshot import Snapshot
    from mailshot.store.engine import Store

Name = Annotated[str, typer.Argument(help="The campaign's name.")]


def plan(
    campaign: Name,
    as_of: context.AsOf = None,
    diff: Annotated[bool, typer.Option("--diff", help="Show which customers changed since the previous plan.")] = False,
    against: Annotated[
        str | None, typer.Option("--against", help="Compare with this plan's id, or with 'run 3' or 'run' (the last).")
    ] = None,
    examples: rules_diff.Examples = 5,
    json: context.AsJson = False,
) -> None:
    """Show what a launch would do: who gets which mail, who is left out and why. Sends nothing."""
    from mailshot.campaign import plan as stage
    from mailshot.campaign.plan_diff import CompareTo

    wanted = CompareTo(against, examples) if diff or against is not None else None
    app = context.app()
    edition = context.read_edition(app, campaign)
    with output.err.status("Planning …"):
        made = stage.make_plan(app.store, edition, context.today(edition, as_of), context.now(), wanted)
    unread = context.unread_replies(app.settings, edition.rulebook, [edition.read.campaign.sender])
    made = replace(
        made,
        findings=(*made.findings, *map(str, unread)),
        errors=(*made.errors, *_missing_settings(app, edition)),
    )
    compared = {"diff": made.moves.as_dict() if made.moves else None} if wanted else {}
    output.print_json(made.as_dict() | compared) if json else show_plan(made, wanted is not None)
    if made.errors:
        raise typer.Exit(InvalidInput.exit_code)


def _missing_settings(app: App, edition: Snapshot) -> list[str]:
    """Return the errors for a missing DKIM key or relay address of the sender; with any, a launch is refused."""
    from mailshot.deliver import routes

    sender, missing = edition.body["mailing"]["sender"], []
    for find in (
        lambda: app.dkim_keys.find(sender.get("sign")),
        lambda: routes.find_relays(sender.get("through"), app.relays),
    ):
        try:
            find()
        except SettingsError as error:
            missing.append(str(error))
    return missing


def launch(
    campaign: Name,
    plan: Annotated[str | None, typer.Option(help="The id of the plan to launch.")] = None,
    as_of: context.AsOf = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the scheduled version with this one.")] = False,
    even_if_empty: Annotated[
        bool, typer.Option("--even-if-empty", help="Launch even if no customer would get a mail.")
    ] = False,
    json: context.AsJson = False,
) -> None:
    """Launch the current plan, now or on the campaign's schedule."""
    from mailshot import operations
    from mailshot.campaign.launch import LaunchOptions

    app = context.app()
    edition = context.read_edition(app, campaign)
    begun = operations.launch_campaign(app, edition, as_of, LaunchOptions(plan, replace, even_if_empty))
    if json:
        numbers = {"run": begun.run_id, "schedule": begun.schedule_id, "next_at": begun.next_at, "mails": begun.mails}
        output.print_json({**numbers, "replaced": begun.replaced, "unchanged": begun.unchanged})
    elif begun.run_id is not None:
        ended = " Its schedule has ended." if begun.replaced else ""
        output.print_text(
            f"Launched '{campaign}' as run {begun.run_id}: {output.count_noun(begun.mails, 'mail')} due.{ended}"
        )
        output.print_next_step("run 'mailshot up' or a worker to send them; to watch: mailshot status --watch")
    else:
        _show_schedule(edition, begun)


def _show_schedule(edition: Snapshot, begun: Launched) -> None:
    name, zone = edition.name, edition.rulebook.company.time_zone
    assert begun.next_at
    how = "Replaced the schedule of" if begun.replaced else "Scheduled"
    if begun.unchanged:
        how = "This version is already scheduled; nothing changed:"
    times = f"{edition.read.campaign.schedule.words(zone)}. Next: {context.moment(begun.next_at, zone)}"
    output.print_text(output.printable(f"{how} '{name}': {times}."))
    if begun.paused:
        output.print_text("It is paused.")
        output.print_next_step(f"mailshot resume '{name}'")
        return
    output.print_next_step(f"keep 'mailshot up' (or the clock) running; stop it with: mailshot cancel '{name}'")


def pause(campaign: Name) -> None:
    """Stop sending a campaign until it is resumed. Mails already handed to the mail server are completed."""
    _set_state(campaign, RunState.paused, "Paused")


def resume(campaign: Name) -> None:
    """Resume a paused campaign."""
    _set_state(campaign, RunState.running, "Resumed")


def cancel(campaign: Name) -> None:
    """Cancel a campaign's runs and schedules permanently. Unsent mails are skipped."""
    _set_state(campaign, RunState.cancelled, "Cancelled")


class Settlement(StrEnum):
    """What becomes of an unconfirmed delivery."""

    accept = "accept"
    resend = "resend"


def resolve(
    run: Annotated[int, typer.Argument(help=context.RUN_HELP)],
    how: Annotated[Settlement, typer.Argument(help="accept (count as sent) or resend (may send a second copy).")],
) -> None:
    """Settle the unconfirmed deliveries of a run manually."""
    from mailshot.store import ledger

    app = context.app()
    with app.store.write() as connection:
        number = ledger.resolve_unconfirmed(connection, run, how is Settlement.resend, context.now())
    if not number:
        reject_unknown_run(app.store, run)
        raise Refused(f"Run {run} has no unconfirmed delivery.", "See 'mailshot status'.")
    outcome = "sent again" if how is Settlement.resend else "accepted as sent"
    output.print_text(f"{number:,} deliveries of run {run}: {outcome}.")


def reject_unknown_run(store: Store, run: int) -> None:
    from mailshot.store import runs

    with store.read() as connection:
        known = [record.id for record in runs.runs_in(connection)]
    if run not in known:
        remedy = f"Known: {', '.join(map(str, known[-12:]))}." if known else "Nothing has been launched yet."
        raise NotFound(f"There is no run {run}.", remedy)


def show_plan(made: CampaignPlan, compared: bool = False) -> None:
    """Print a plan; if `compared`, also the changes since the other plan."""
    output.print_text(f"[bold]Plan {made.id}[/bold] of '{made.campaign}' as of {made.as_of:%Y-%m-%d %H:%M %Z}")
    output.print_text(
        f"{output.count_noun(made.customers, 'customer')}, {made.audience:,} in the audience, "
        f"[bold]{output.count_noun(made.mails, 'mail')}[/bold]"
    )
    output.print_counts("", made.contents, "gets")
    for content, use in made.languages.items():
        output.print_text(output.printable(f"{content}: {use.words()}"))
    for content, size in made.enclosed.items():
        mails = made.contents[content]
        output.print_text(
            f"{output.printable(content)}: {output.format_bytes(size)} of pictures and attachments "
            f"x {output.count_noun(mails, 'mail')} = {output.format_bytes(mails * size)}"
        )
    if made.left_out:
        output.print_counts("", made.left_out, "left out", {str(reason): reason.help for reason in Reason})
    if compared:
        rules_diff.print_moves(made.moves)
    elif made.changes:
        counts = ", ".join(f"{number:,} {what}" for what, number in made.changes.items())
        content = " content" if made.changes["changed"] else ""
        output.print_text(f"Since {made.compared_with}: {counts}{content}")
    output.print_text(
        f"Schedule: {made.schedule}" + (f", next {made.next_at:%Y-%m-%d %H:%M %Z}" if made.next_at else "")
    )
    if made.scheduled:
        output.print_text(f"[yellow]{output.printable(capitalized(made.scheduled.words()))}.[/yellow]")
    if made.mails:
        output.print_text(f"Sending takes about {format_duration(made.seconds)}.")
    for finding in made.findings:
        output.print_problem("Warning", "yellow", finding)
    for error in made.errors:
        output.print_problem("Error", "red", error)
    output.print_next_step(next_step(made))


def next_step(made: CampaignPlan) -> str:
    """Return the suggested next step after a plan."""
    name = made.campaign
    if made.errors:
        return f"fix the errors, then: mailshot plan '{name}'"
    if made.scheduled and made.scheduled.current:
        return "mailshot status (this version is already scheduled)"
    launch = f"mailshot launch '{name}'{' --replace' if made.scheduled else ''} --plan {made.id}"
    if made.mails:
        return f"mailshot preview '{name}', then: {launch}"
    if not made.customers:
        return f"import customers: mailshot import MAPPING, then: mailshot plan '{name}'"
    why = "all customers in the audience are left out" if made.audience else "the audience is empty"
    ask = f"mailshot rules explain '{name}' CUSTOMER"
    if made.next_at:  # the audience is evaluated again on that day
        return f"today {why}; to see why for one customer: {ask}. To schedule anyway: {launch}"
    return f"{why}; to see why for one customer: {ask}"


def capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def _set_state(campaign: str, to: RunState, past_tense: str) -> None:
    """Change the state of a campaign and print what changed; `past_tense` is the verb that begins the message."""
    from mailshot import operations

    app = context.app()
    known = context.list_campaigns(app.settings.project)
    changed = operations.set_campaign_state(app, campaign, to, known)
    what = [f"run {number}" for number in changed.runs] + ["its schedule"] * bool(changed.schedules)
    gone = f"; {output.count_noun(changed.given_up, 'unsent mail')} skipped" if changed.given_up else ""
    output.print_text(output.printable(f"{past_tense} '{campaign}': {', '.join(what)}{gone}."))
    if changed.under_way:
        output.print_text(
            f"{output.count_noun(changed.under_way, 'mail')} still in progress: a worker will send or release each one."
        )
    output.print_next_step("mailshot status")


def format_duration(seconds: float) -> str:
    if seconds < 1.5:
        return "a second"
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
