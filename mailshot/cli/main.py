"""Owns the list of commands; refuses to hold any of them."""

from __future__ import annotations

import typer

from mailshot.cli import (
    backtest,
    campaigns,
    database,
    demo,
    doctor,
    imports,
    init,
    preview,
    processes,
    reports,
    rules,
    suppression,
)

cli = typer.Typer(
    name="mailshot",
    help="Campaigns and personalised mail from rules, templates and purchase history.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)
cli.command("init")(init.init)
cli.command("import")(imports.import_)
cli.command("traits")(imports.traits)
cli.add_typer(rules.cli, name="rules")
cli.command("plan")(campaigns.plan)
cli.command("backtest")(backtest.backtest)
cli.command("preview")(preview.preview)
cli.command("send-test")(preview.send_test)
cli.command("launch")(campaigns.launch)
cli.command("pause")(campaigns.pause)
cli.command("resume")(campaigns.resume)
cli.command("cancel")(campaigns.cancel)
cli.command("resolve")(campaigns.resolve)
cli.command("status")(reports.status)
cli.command("report")(reports.report)
cli.command("up")(processes.up)
cli.command("web")(processes.web)
cli.command("worker")(processes.worker)
cli.command("clock")(processes.clock)
cli.command("inbox")(processes.inbox)
cli.add_typer(suppression.cli, name="suppression")
cli.add_typer(database.cli, name="db")
cli.command("doctor")(doctor.doctor)
cli.command("demo")(demo.demo)
