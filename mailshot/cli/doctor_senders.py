"""`doctor --senders`: checks what DNS and the relay say about each sender, and prints what to publish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address

import typer

from mailshot.cli import context, output
from mailshot.deliverability import checks
from mailshot.deliverability.checks import SendingSetup
from mailshot.deliverability.dns_lookup import DnsLookup
from mailshot.deliverability.sender_finding import Level, SenderFinding
from mailshot.errors import WrongArgument

MARKS = {Level.ok: "✓", Level.warn: "!", Level.fail: "✗"}


def check_senders(nameserver: str | None, sends_from: Sequence[str], json: bool) -> None:
    """Print the findings, and exit with 6 if one fails. Raises WrongArgument for an address that is none."""
    app = context.app()
    rules = context.rulebook(app.settings.project)
    setup = SendingSetup(
        lookup=DnsLookup(nameserver),
        server=app.server,
        dkim_keys=app.dkim_keys,
        base_url=app.settings.base_url,
        sends_from=[_address(text) for text in sends_from],
    )
    with output.err.status("Asking DNS …"):
        found = {
            f"{name} <{sender.address}>": checks.check_sender(sender, setup) for name, sender in rules.senders.items()
        }
        found[f"relay {app.server}"] = checks.check_relay(setup)
    print_findings(found, json)
    if any(finding.level is Level.fail for findings in found.values() for finding in findings):
        raise typer.Exit(6)


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
