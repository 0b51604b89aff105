"""Launches, resumes, pauses and cancels campaigns for a user, and wakes the workers.

The stages do not know the queue or each other. This module joins them, so that a command needs only to parse and print.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime

from mailshot.bootstrap import App
from mailshot.campaign import control, launch, snapshot
from mailshot.campaign.control import StateChange
from mailshot.campaign.launch import Launched, LaunchOptions
from mailshot.campaign.snapshot import Snapshot
from mailshot.states import RunState


def launch_campaign(app: App, edition: Snapshot, requested_day: datetime | None, options: LaunchOptions) -> Launched:
    """Check that the SMTP server is reachable, launch the campaign, and wake the workers.

    `requested_day` counts as today; None: the campaign's or company's `as_of`, else now. Raises SettingsError without
    the DKIM key of its sender, Unavailable without a server, and what `launch_plan` raises.
    """
    # SMTP takes long to import, and the other operations do not need it.
    from mailshot.deliver import smtp

    app.dkim_keys.find(edition.body["mailing"]["sender"].get("sign"))
    smtp.check_server(app.server)
    now = datetime.now(UTC)  # not earlier: the check may take seconds
    launched = launch.launch_plan(app.store, edition, snapshot.as_of(edition, requested_day, now), now, options)
    if launched.run_id is not None:
        _wake_workers(app, [launched.run_id])
    return launched


def set_campaign_state(app: App, campaign: str, to: RunState, known: Collection[str]) -> StateChange:
    """Pause, resume or cancel a campaign; wake the workers for runs that go on. `known`: the campaigns of the rules.

    Raises NotFound for a campaign that does not exist, Refused when nothing can be changed.
    """
    change = control.set_state(app.store, campaign, to, datetime.now(UTC), known)
    if to is RunState.running:
        _wake_workers(app, change.runs)
    return change


def _wake_workers(app: App, run_ids: Iterable[int]) -> None:
    """Ring for each run, unless the queue is inside the sending process (embedded), which checks the ledger itself."""
    if app.settings.embedded:
        return
    for run_id in run_ids:
        app.doorbell.ring(run_id)
