"""`doctor --senders`: checks what DNS and the relay say about each sender, and prints what to publish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address

import typer

from mailshot.bootstrap import App
from mailshot.cli import context, output
from mailshot.deliver import routes
from mailshot.deliver.smtp import Server
from mailshot.deliverability import checks
from mailshot.deliverability.checks import SendingSetup
from mailshot.deliverability.dns_lookup import DnsLookup
from mailshot.deliverability.sender_finding import Level, SenderFinding
from mailshot.errors import WrongArgument
from mailshot.profile.senders import Sender

MARKS = {Level.ok: "✓", Level.warn: "!", Level.fail: "✗"}


def check_senders(nameserver: str | None, sends_from: Sequence[str], json: bool) -> None:
    """Print the findings, and exit with 6 if one fails.

    Raises WrongArgument for an invalid address, SettingsError for a relay without a setting.
    """
    app = context.app()
    rules = context.rulebook(app.settings.project)
    setup = SendingSetup(
        lookup=DnsLookup(nameserver),
        server=app.server,
        dkim_keys=app.dkim_keys,
        base_url=app.settings.base_url,
        sends_from=[_address(text) for text in sends_from],
    )
    routes_of = {name: _servers(app, sender) for name, sender in rules.senders.items()}
    servers = dict.fromkeys(server for servers in routes_of.values() for server in servers) or {app.server: None}
    with output.err.status("Asking DNS …"):
        found = {
            f"{name} <{sender.address}>": _check_sender(sender, setup, routes_of[name])
            for name, sender in rules.senders.items()
        }
        for server in servers:
            found[f"relay {server}"] = checks.check_relay(replace(setup, server=server))
    print_findings(found, json)
    if any(finding.level is Level.fail for findings in found.values() for finding in findings):
        raise typer.Exit(6)


def _servers(app: App, sender: Sender) -> list[Server]:
    through = sender.freeze("").get("through")
    return routes.servers_of(through, app.server, app.relays)


def _check_sender(sender: Sender, setup: SendingSetup, servers: Sequence[Server]) -> list[SenderFinding]:
    """Check a sender for each of its relays, and keep what differs: SPF must name the addresses of all of them."""
    findings = (finding for server in servers for finding in checks.check_sender(sender, replace(setup, server=server)))
    return list(dict.fromkeys(findings))


def print_findings(found: Mapping[str, Sequence[SenderFinding]], json: bool) -> None:
    """Print findings by what they are about."""
    if json:
        output.print_json([
            {"about": about, "level": item.level, "check": item.check, "says": item.text, "publish": item.publish,
             "remedy": item.remedy}
            for about, findings in found.items() for item in findings
        ])  # fmt: skip
        return
    for about, findings in found.items():
        output.print_text(f"[bold]{output.printable(about)}[/bold]")
        for item in findings:
            output.print_line(f"{MARKS[item.level]} {item.check}: {item.text}")
            if item.publish:
                output.print_line(f"    publish: {item.publish}")
            if item.remedy:
                output.print_line(f"    {item.remedy}")
    output.print_next_step(
        "send yourself a mail: mailshot send-test CAMPAIGN you@example.com, and look for spf=pass, dkim=pass and "
        "dmarc=pass in its Authentication-Results header"
    )


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise WrongArgument(f"'{text}' is not an IP address.", "Write --sends-from 198.51.100.7.") from None
