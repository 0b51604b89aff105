"""`suppression`: suppress an address, look one up, and lift it."""

from __future__ import annotations

import csv
import sys
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mailshot import spreadsheet
from mailshot.cli import context, output
from mailshot.errors import NotFound, Refused

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

    from mailshot.bootstrap import App
    from mailshot.states import AuditAction
    from mailshot.store.engine import Connection
    from mailshot.store.suppressed_digests import SuppressedDigest
    from mailshot.store.tables import Suppression

MAX_REASON = 200
MAX_LIST_BYTES = 200_000_000
Address = Annotated[str, typer.Argument(help="The e-mail address.")]


def show(address: Address, json: context.AsJson = False) -> None:
    """Show whether, why and since when an address is suppressed, and its withdrawn topics."""
    from mailshot.store import suppression

    app = context.app()
    hashed = _hash(app.address_key, address)
    with app.store.read() as connection:
        entry, withdrawn = _find(connection, hashed, address), suppression.withdrawn(connection, hashed)
    if json:
        output.print_json({"address": address, "suppression": dict(entry) if entry else None, "withdrawn": withdrawn})
        return
    zone = context.company_zone(app.settings.project)
    if entry is None:
        output.print_text(f"{output.printable(address)} is not suppressed.")
    else:
        reason, source = output.printable(entry["reason"]), output.printable(entry["source"])
        at = context.moment(entry["at"], zone)
        output.print_text(f"{output.printable(address)} is suppressed: {reason} ({source}, {at}).")
    if withdrawn:
        topics = ", ".join(f"{topic} ({context.moment(at, zone)})" for topic, at in withdrawn.items())
        output.print_text(f"Withdrawn at this address: {output.printable(topics)}.")


def add(
    address: Address,
    why: Annotated[str, typer.Option("--why", help="Why, for example 'asked by phone'.", metavar="REASON")],
) -> None:
    """Suppress an address: no customer who has it, now or later, is mailed there."""
    from mailshot.states import AuditAction
    from mailshot.store import suppression

    _check_reason(why)
    app = context.app()
    with app.store.write() as connection:
        new = suppression.add(connection, _hash(app.address_key, address), why.strip(), "operator", context.now())
        if new:
            _record(connection, app, AuditAction.suppressed, address, why.strip())
    output.print_text(f"{output.printable(address)} {'is now' if new else 'was already'} suppressed.")
    output.print_next_step(f"mailshot suppression show {address}")


def import_(
    file: Annotated[Path, typer.Argument(help="Addresses or hashes, one a line, or a CSV file with a header.")],
    why: Annotated[
        str, typer.Option("--why", help="The reason of entries without one.", metavar="REASON")
    ] = "imported",
) -> None:
    """Suppress the addresses of a list: addresses, their SHA-256, or hashes from 'mailshot suppression export'."""
    from mailshot import safe_files
    from mailshot.ingest import suppression_list
    from mailshot.states import AuditAction
    from mailshot.store import audit, suppressed_digests

    _check_reason(why)
    app, now = context.app(), context.now()
    try:
        text = safe_files.read_bytes(file.resolve(), most=MAX_LIST_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise NotFound(f"{file} cannot be read: {error}.", "Name a text file in UTF-8.") from None
    entries = suppression_list.read_list(text, file.name, why.strip(), f"list {file.name}", now, app.address_key)
    with app.store.write() as connection:
        added = suppressed_digests.add_suppressions(connection, entries.suppressions)
        kept = suppressed_digests.add_digests(connection, entries.digests)
        added += suppressed_digests.suppress_matching(connection) if entries.digests else 0
        subject = f"{file.name}, {output.count_noun(len(entries), 'line')}"
        audit.record(connection, AuditAction.imported, context.operator(app), now, subject=subject, why=why.strip())
    output.print_text(f"Read {output.count_noun(len(entries), 'line')}; newly suppressed addresses: {added:,}.")
    if entries.digests:
        output.print_text(f"New SHA-256 hashes, also kept for customers who are imported later: {kept:,}.")


def export(
    file: Annotated[Path | None, typer.Option("--to", help="The CSV file to write.", dir_okay=False)] = None,
) -> None:
    """Write the suppression list as CSV: hash of each address, reason, source and time; addresses are not stored."""
    from mailshot.store import suppressed_digests, suppression

    app = context.app()
    with app.store.read() as connection:
        rows: list[tuple[str, Suppression | SuppressedDigest]] = [
            *((row.address_hash, row) for row in suppression.listed(connection)),
            *((row.digest, row) for row in suppressed_digests.listed_digests(connection)),
        ]
    target = StringIO(newline="")
    writer = csv.writer(target)
    writer.writerow(("address_hash", "reason", "source", "at"))
    writer.writerows(
        (hashed, spreadsheet.harmless(row.reason), spreadsheet.harmless(row.source), row.at.isoformat())
        for hashed, row in rows
    )
    if file is None:
        sys.stdout.write(target.getvalue())
    else:
        output.write_private(file, target.getvalue().encode())
        output.print_text(f"Wrote {output.count_noun(len(rows), 'suppression')} to {file}.")


def lift(
    address: Address,
    even_though: Annotated[
        str | None, typer.Option(help="Confirm the reason, if it is not a bounce.", metavar="REASON")
    ] = None,
    signed_up_again: Annotated[
        bool, typer.Option("--signed-up-again", help="The erased customer has signed up again.")
    ] = False,
) -> None:
    """Allow mail to an address again, for example after its mailbox works again. Consent is still required."""
    from mailshot.states import AuditAction
    from mailshot.store import suppressed_digests, suppression

    app = context.app()
    hashed = _hash(app.address_key, address)
    with app.store.write() as connection:
        entry = _find(connection, hashed, address)
        if entry is None:
            raise NotFound(f"{address} is not suppressed.")
        reason = str(entry["reason"])
        if reason == suppression.ERASED:
            _readmit(connection, hashed, address, signed_up_again)
            _record(connection, app, AuditAction.readmitted, address, "")
        elif reason != suppression.BOUNCED and even_though != reason:
            remedy = f"If its owner asked for mail again, add --even-though '{reason}'."
            raise Refused(f"{address} is not suppressed for a bounce, but for: {reason}.", remedy)
        suppression.lift_suppression(connection, hashed)
        suppressed_digests.forget_digest(connection, context.parse_address(address).email)
        _record(connection, app, AuditAction.lifted, address, f"was suppressed for: {reason}")
    output.print_text(f"{output.printable(address)} may be mailed again, on topics with consent.")


def _check_reason(why: str) -> None:
    if not why.strip() or len(why) > MAX_REASON:
        raise Refused("The reason is empty or too long.", f"Write --why with 1 to {MAX_REASON} characters.")


def _find(connection: Connection, hashed: str, address: str) -> RowMapping | None:
    """Return the row by which an address is suppressed, by our hash of it or by its SHA-256."""
    from mailshot.store import suppressed_digests, suppression

    entry = suppression.find_suppression(connection, hashed)
    return entry or suppressed_digests.find_digest(connection, context.parse_address(address).email)


def _readmit(connection: Connection, hashed: str, address: str, signed_up_again: bool) -> None:
    """Allow imports of an erased customer again, for data dated after the erasure."""
    from mailshot.store import erasures

    if not signed_up_again:
        remedy = "It stays suppressed. Only if its owner signed up again after that: add --signed-up-again."
        raise Refused(f"{address} belonged to a customer whose data was erased.", remedy)
    erasures.welcome_back(connection, hashed, context.now())


def _record(connection: Connection, app: App, action: AuditAction, written: str, why: str) -> None:
    from mailshot.store import audit

    address, hashed = context.parse_address(written).email, _hash(app.address_key, written)
    by, at = context.operator(app), context.now()
    audit.record(connection, action, by, at, address_hash=hashed, subject=address, why=why)


def _hash(key: bytes, written: str) -> str:
    from mailshot.profile import address

    return address.hash_address(key, context.parse_address(written).email)
