"""`archive`: the public archive of mails, and which runs are in it."""

from __future__ import annotations

from typing import Annotated

import typer

from mailshot.cli import context, output

Run = Annotated[int, typer.Argument(help=context.RUN_HELP)]


def list_(json: context.AsJson = False) -> None:
    """List the mails in the public archive, with their addresses."""
    from mailshot.campaign.browser_view import BrowserViews
    from mailshot.render.compose import archive_url

    app = context.app()
    base_url, zone = app.settings.base_url, context.company_zone(app.settings.project)
    mails = BrowserViews(app.store, app.keys).archived_mails()
    urls = [archive_url(base_url, mail.run_id, mail.content) for mail in mails]
    if json:
        rows = zip(mails, urls, strict=True)
        output.print_json([{"run": mail.run_id, "subject": mail.subject, "url": url} for mail, url in rows])
        return
    if not mails:
        output.print_text("The public archive is empty.")
        output.print_next_step("launch a campaign with 'archive: yes', or run: mailshot archive add RUN")
        return
    for mail, url in zip(mails, urls, strict=True):
        launched = f"{mail.launched_at.astimezone(zone):%Y-%m-%d}"
        output.print_text(output.printable(f"Run {mail.run_id} of {launched}: {mail.subject}"))
        output.print_url(url)
    output.print_text(output.printable(f"All of them: {base_url}/archive"))


def add(run: Run) -> None:
    """Put a run into the public archive."""
    _set(run, archived=True)
    output.print_text(f"Run {run} is in the public archive.")
    output.print_next_step("mailshot archive list")


def remove(run: Run) -> None:
    """Take a run out of the public archive."""
    _set(run, archived=False)
    output.print_text(f"Run {run} is no longer in the public archive.")


def _set(run: int, archived: bool) -> None:
    from mailshot.campaign import browser_view

    browser_view.set_archived(context.app().store, run, archived)
