"""Owns `plan`, `launch`, `pause`, `resume`, `cancel`, `resolve`: the life of a campaign."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mailshot.cli import changes, shared
from mailshot.errors import Refused
from mailshot.events import Reason, RunState

if TYPE_CHECKING:
    from mailshot.campaign.plan import Plan

Name = Annotated[str, typer.Argument(help="The campaign's name.")]


def plan(
    campaign: Name,
    as_of: shared.AsOf = None,
    diff: Annotated[bool, typer.Option("--diff", help="Show who moved since the plan before.")] = False,
    against: Annotated[
        str | None, typer.Option("--against", help="Compare with this plan's id, or with 'run 3' or 'run' (the last).")
    ] = None,
    examples: changes.Examples = 5,
    json: shared.AsJson = False,
) -> None:
    """Show what a launch would do: who gets which mail, who is left out and why. Sends nothing."""
    from mailshot.campaign import plan as stage
    from mailshot.campaign.moves import Wanted

    wanted = Wanted(against, examples) if diff or against is not None else None
    app = shared.app()
    edition = shared.edition(app.settings.project, campaign)
    with shared.err.status("Looking at the audience …"):
        made = stage.make(app.store, edition, shared.today(edition, as_of), shared.now(), wanted)
    compared = {"diff": made.moves.as_dict() if made.moves else None} if wanted else {}
    shared.as_json(made.as_dict() | compared) if json else show(made, wanted is not None)


def launch(
    campaign: Name,
    plan: Annotated[str | None, typer.Option(help="Launch exactly this plan.")] = None,
    as_of: shared.AsOf = None,
    json: shared.AsJson = False,
) -> None:
    """Launch what was planned: now, or as its schedule says."""
    from mailshot.campaign import launch as stage
    from mailshot.deliver import trial

    app = shared.app()
    edition = shared.edition(app.settings.project, campaign)
    trial.greet(app.server)
    begun = stage.launch(app.store, edition, shared.today(edition, as_of), shared.now(), plan)
    if begun.run_id is not None and not app.settings.embedded:
        app.doorbell.ring(begun.run_id)
    if json:
        shared.as_json(
            {"run": begun.run_id, "schedule": begun.schedule_id, "next_at": begun.next_at, "mails": begun.mails}
        )
    elif begun.run_id is not None:
        shared.say(f"Launched '{campaign}' as run {begun.run_id}: {begun.mails:,} mails are due.")
        shared.next_step("'mailshot up' sends them (or a running worker does); watch with: mailshot status --watch")
    else:
        due = f"{begun.next_at:%Y-%m-%d %H:%M %Z}"
        shared.say(f"Scheduled '{campaign}': {edition.read.campaign.schedule.words()}. Next: {due}.")
        shared.next_step("keep 'mailshot up' (or the clock) running; stop it with: mailshot cancel")


def pause(campaign: Name) -> None:
    """Stop sending a campaign until it is resumed; mails whose dot is out are finished."""
    _change(campaign, RunState.paused, "Paused")


def resume(campaign: Name) -> None:
    """Go on sending a paused campaign."""
    _change(campaign, RunState.running, "Resumed")


def cancel(campaign: Name) -> None:
    """End a campaign's runs and schedules; nothing further is ever sent by them."""
    _change(campaign, RunState.cancelled, "Cancelled")


def resolve(
    run: Annotated[int, typer.Argument(help="The run's number.")],
    how: Annotated[str, typer.Argument(help="'accept' (they arrived) or 'resend' (risk a second copy).")],
) -> None:
    """Settle the unconfirmed deliveries of a run by hand."""
    from mailshot.store import ledger

    if how not in ("accept", "resend"):
        raise typer.BadParameter("say 'accept' or 'resend'")
    app = shared.app()
    with app.store.write() as connection:
        number = ledger.resolve(connection, run, how == "resend", shared.now())
    if not number:
        raise Refused(f"Run {run} has no unconfirmed delivery.", "See 'mailshot status'.")
    shared.say(f"{number:,} deliveries of run {run}: {'sent again' if how == 'resend' else 'accepted as sent'}.")


def show(made: Plan, compared: bool = False) -> None:
    """Print a plan for people; `compared` also how customers moved."""
    shared.say(f"[bold]Plan {made.id}[/bold] of '{made.campaign}' as of {made.as_of:%Y-%m-%d %H:%M %Z}")
    shared.say(f"{made.customers:,} customers, {made.audience:,} in the audience, [bold]{made.mails:,} mails[/bold]")
    shared.counts("", made.contents, "gets")
    if made.left_out:
        shared.counts("", made.left_out, "left out", {str(reason): reason.help for reason in Reason})
    if compared:
        changes.show_moves(made.moves)
    elif made.changes:
        said = ", ".join(f"{number:,} {what}" for what, number in made.changes.items())
        shared.say(
            f"Since the plan before: {said} content" if made.changes["changed"] else f"Since the plan before: {said}"
        )
    shared.say(f"Schedule: {made.schedule}" + (f", next {made.next_at:%Y-%m-%d %H:%M %Z}" if made.next_at else ""))
    shared.say(f"Sending takes about {_length(made.seconds)}.")
    for finding in made.findings:
        shared.say(f"[yellow]{shared.plain(finding)}[/yellow]")
    for error in made.errors:
        shared.say(f"[red]Error: {shared.plain(error)}[/red]")
    if made.errors:
        shared.next_step(f"mend the errors (nothing can be launched before), then: mailshot plan '{made.campaign}'")
        return
    shared.next_step(f"mailshot preview '{made.campaign}', then: mailshot launch '{made.campaign}' --plan {made.id}")


def _change(campaign: str, to: RunState, said: str) -> None:
    from mailshot.campaign import control

    app = shared.app()
    changed = control.change(app.store, campaign, to, shared.now())
    if to is RunState.running and not app.settings.embedded:
        for run_id in changed.runs:
            app.doorbell.ring(run_id)
    runs = ", ".join(map(str, changed.runs)) or "none"
    gone = f"; {changed.given_up:,} waiting mails are given up" if changed.given_up else ""
    shared.say(f"{said} '{campaign}': runs {runs}; {changed.schedules} schedules{gone}.")
    shared.next_step("mailshot status")


def _length(seconds: float) -> str:
    if seconds < 1.5:
        return "a second"
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
