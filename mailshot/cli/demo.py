"""`demo`: the main job on real purchases, step by step, with the same commands that a user runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from mailshot.cli import campaigns, context, explain, imports, init, mailbox, output, reports, status, suppression
from mailshot.cli.demo_customers import Visitors
from mailshot.errors import Unavailable

CAMPAIGN, NEXT_CAMPAIGN = "vegetable week", "weekly picks"
#: Mail that comes back is handed over by a command, so that the demo needs no port for it.
MAILBOX_SETTING = "MAILSHOT_MAILBOX=pipe\n"
MAPPING = "rules/imports/complete-journey.yaml"


def demo(
    folder: Annotated[Path, typer.Option(help="Folder of the demo project. It is recreated each time.")] = Path(
        "demo-project"
    ),
    keep: Annotated[bool, typer.Option(help="Keep the services running at the end.")] = False,
) -> None:
    """Import a year of groceries, plan, send to a local inbox, simulate responses, plan again, report."""
    started = time.monotonic()
    _step(1, "A new project")
    shutil.rmtree(folder, ignore_errors=True)
    init.create_project(folder, init.StarterProject.grocery)
    os.chdir(folder)
    with Path(".env").open("a", encoding="utf-8") as dotenv:
        dotenv.write(MAILBOX_SETTING)
    output.print_text(f"Created {folder}: example rules and templates, new keys, an empty SQLite database.")
    with Services() as services:
        _tell_story(services)
        _step(10, f"Explore (the demo took {time.monotonic() - started:.0f} seconds)")
        output.print_text(f"The project is in {Path.cwd()}; its rules and templates are yours to change.")
        if keep:
            output.print_text(f"Inbox: {services.inbox_url}    press Ctrl-C to stop.")
            services.wait()
    output.print_next_step(f"make up (it is: cd {folder}; mailshot up --inbox), then open {services.inbox_url}")


def _tell_story(services: Services) -> None:
    _step(2, "A year of purchases of 2,469 households")
    imports.import_(Path(MAPPING))
    _step(3, "Infer traits from each household's purchases")
    imports.traits()
    _step(4, "The plan")
    campaigns.plan(CAMPAIGN)
    _step(5, "Launch: every mail goes to the inbox on this machine")
    campaigns.launch(CAMPAIGN)
    services.wait_for_run()
    status.status()
    _step(6, "Some customers open, click, unsubscribe, and correct their data")
    visitors = Visitors(services.inbox_url)
    for line in visitors.answer():
        output.print_text(f"  {line}")
    _step(7, "Some mails come back")
    returned = Path("returned")
    for line in visitors.send_back(returned):
        output.print_text(f"  {line}")
    mailbox.take([returned / name for name in ("bounce.eml", "complaint.eml", "unsubscribe.eml")])
    mailbox.list_()
    _step(8, "The next plan knows")
    campaigns.plan(CAMPAIGN)
    if visitors.corrected:
        explain.explain(CAMPAIGN, visitors.corrected)
    if visitors.vegan:
        output.print_text("\nThe vegan household is offered only plant-based products, whatever it bought before.")
        campaigns.plan(NEXT_CAMPAIGN)
        explain.explain(NEXT_CAMPAIGN, visitors.vegan)
    if visitors.suppressed:
        output.print_text()
        suppression.show(visitors.suppressed)
    _step(9, "The report")
    reports.report(CAMPAIGN)


def _step(number: int, title: str) -> None:
    output.out.rule(f"[bold]{number}. {title}[/bold]", align="left")


class Services:
    """`mailshot up --inbox` as a process of its own, as a user would run it; it ends with us."""

    def __init__(self) -> None:
        self._settings = context.settings()
        self.inbox_url = f"http://127.0.0.1:{self._settings.inbox_web_port}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Services:
        command = [sys.executable, "-m", "mailshot", "up", "--inbox"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        Visitors(self.inbox_url).wait_until_there(self._process)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(60)

    def wait(self) -> None:
        if self._process:
            self._process.wait()

    def wait_for_run(self) -> None:
        """Wait until every run is finished. Raises Unavailable when the services ended or it takes ten minutes."""
        from mailshot.states import RunState
        from mailshot.store import runs

        store = context.app().store
        for _ in range(1200):
            with store.read() as connection:
                if not runs.runs_in(connection, RunState.running):
                    return
            if self._process and self._process.poll() is not None:
                break
            time.sleep(0.5)
        raise Unavailable("The run did not finish.", "See 'mailshot status' and 'mailshot doctor'.")
