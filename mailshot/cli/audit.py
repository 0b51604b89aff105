"""`audit`: show who did what to customers and addresses by hand."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from mailshot.cli import context, output

DEFAULT_NUMBER = 50


def audit(
    customer: Annotated[
        str | None, typer.Argument(help="A customer's key or e-mail address; without one, all entries.")
    ] = None,
    number: Annotated[
        int, typer.Option("--number", min=1, max=100_000, help="How many entries to show.")
    ] = DEFAULT_NUMBER,
    json: context.AsJson = False,
) -> None:
    """Show what operators did to customers and addresses by hand: who, what, when and why, the latest first."""
    from mailshot.store import audit, profiles

    app = context.app()
    with app.store.read() as connection:
        customer_id = profiles.find_customer(connection, customer) if customer else None
        entries = audit.latest(connection, number, customer_id)
    if json:
        output.print_json([{**asdict(entry), "at": entry.at.isoformat()} for entry in entries])
        return
    if not entries:
        whom = f" for {output.printable(customer)}" if customer else ""
        output.print_text(f"Nothing was done by hand{whom} yet.")
        return
    zone = context.company_zone(app.settings.project)
    rows = [
        (
            context.moment(entry.at, zone),
            entry.by,
            entry.action,
            entry.customer or entry.subject,
            entry.why,
        )
        for entry in entries
    ]
    output.print_table("Done by hand", ("when", "who", "what", "on", "why"), rows, whole=(0,))
