"""`customer`: export or erase all data of one customer, as the page of their own data does."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from typing import Annotated

import typer

from mailshot.cli import context, output
from mailshot.errors import Refused

Customer = Annotated[str, typer.Argument(help="The customer's key or e-mail address.")]
SOURCE = "operator"


def export(
    customer: Customer,
    file: Annotated[Path | None, typer.Option("--to", help="The file to write.", dir_okay=False)] = None,
    html: Annotated[bool, typer.Option("--html", help="A page to read, in the customer's language.")] = False,
) -> None:
    """Write what is stored about a customer: everything as JSON, or as a page to read (GDPR articles 15 and 20)."""
    from mailshot.cli.processes import site_settings
    from mailshot.customer_texts import language
    from mailshot.states import AuditAction
    from mailshot.store import audit, privacy, profiles
    from mailshot.web.readable_export import ReadableExport

    app = context.app()
    with app.store.read() as connection:
        customer_id = profiles.find_customer(connection, customer)
        written = BytesIO()
        if html:
            settings, person = site_settings(app), privacy.person(connection, customer_id)
            chosen = language.choose(None, person.language if person else None, company=settings.language)
            ReadableExport(settings, chosen).write(connection, customer_id, written)
        else:
            privacy.write_export(connection, customer_id, written)
    with app.store.write() as connection:
        audit.record(connection, AuditAction.exported, context.operator(app), context.now(), customer_id=customer_id)
    if file is None:
        sys.stdout.buffer.write(written.getvalue())
    else:
        output.write_private(file, written.getvalue())
        output.print_text(f"Wrote the data of {output.printable(customer)} to {file}.")


def erase(
    customer: Customer,
    confirmed: Annotated[bool, typer.Option("--yes", help="Erase; it cannot be undone.")] = False,
) -> None:
    """Erase all personal data of a customer, and keep their address suppressed."""
    from mailshot.states import AuditAction
    from mailshot.store import audit, privacy, profiles, scrubbing

    app = context.app()
    with app.store.read() as connection:
        customer_id = profiles.find_customer(connection, customer)
    if not confirmed:
        raise Refused(f"Nothing was erased: this deletes all data of {customer} for good.", "Add --yes to erase it.")
    at = context.now()
    with app.store.write() as connection:
        if privacy.erase(connection, customer_id, app.address_key, SOURCE, at):
            audit.record(connection, AuditAction.erased, context.operator(app), at, customer_id=customer_id)
    scrubbing.try_now(app.store, at)
    output.print_text(f"Erased all data of {output.printable(customer)}. The address stays suppressed.")
