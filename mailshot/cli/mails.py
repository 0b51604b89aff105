"""Owns `preview` and `send-test`: one mail as a real customer would get it."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mailshot import safe_files
from mailshot.cli import shared
from mailshot.errors import InvalidInput, Problem, Unavailable

if TYPE_CHECKING:
    from mailshot.bootstrap import App
    from mailshot.render.letter import OutgoingMail

Customer = Annotated[str | None, typer.Option("--as", help="A customer's key or address; without it, the first one.")]
Campaign = Annotated[str, typer.Argument(help="The campaign's name.")]


def preview(
    campaign: Campaign,
    customer: Customer = None,
    to: Annotated[Path | None, typer.Option(help="Write the HTML here instead of opening a browser.")] = None,
    text: Annotated[bool, typer.Option("--text", help="Print the plain text part.")] = False,
) -> None:
    """Show a campaign's mail as a customer of the latest plan would get it."""
    letter = _letter(shared.app(), campaign, customer)
    if text:
        lines = [letter.rendered.subject, "", *letter.rendered.text.splitlines()]
        shared.print_text("\n".join(map(shared.printable, lines)))
        return
    path = to or Path.cwd() / "preview.html"
    _write(path, letter.rendered.html.encode())
    shared.print_text(f"Subject: {shared.printable(letter.rendered.subject)}")
    shared.print_text(f"Wrote {path} (for {letter.envelope_to}; links and pixel of a preview lead nowhere).")
    if to is None:
        webbrowser.open(path.as_uri())
    shared.next_step(f"mailshot send-test '{campaign}' you@example.com")


def _write(path: Path, html: bytes) -> None:
    """Write a customer's mail for its owner's eyes; into a pipe or device as it is. Raises Unavailable."""
    try:
        safe_files.write_output(path, html, private=True)
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error.strerror}.", "Name another file by --to.") from None


def send_test(
    campaign: Campaign,
    address: Annotated[str, typer.Argument(help="Where to send it.")],
    customer: Customer = None,
) -> None:
    """Send a campaign's mail to yourself, as a customer of the latest plan would get it."""
    from mailshot.deliver import trial
    from mailshot.deliver.verdict import Status

    to = _address(address)
    app = shared.app()
    letter = _letter(app, campaign, customer)
    verdict = trial.send_test(app.server, letter, to)
    if verdict.outcome is not Status.accepted:
        raise Unavailable(f"{app.server} did not take the mail: {verdict.reply}", "Nothing else was sent.")
    shared.print_text(shared.printable(f"Sent '{trial.MARK}{letter.rendered.subject}' to {to}: {verdict.reply}"))
    shared.next_step(f"mailshot launch '{campaign}'")


def _address(text: str) -> str:
    """Return an address as it travels. Raises InvalidInput for what is none."""
    found = shared.address(text)
    if found.smtputf8:
        reason = "it has letters before the @-sign that need SMTPUTF8, which Mailshot does not send"
        raise InvalidInput([Problem("ADDRESS", 0, 0, f"'{text}' cannot be written to: {reason}")])
    return found.email


def _letter(app: App, campaign: str, customer: str | None) -> OutgoingMail:
    from mailshot.campaign import preview as stage

    edition = shared.edition(app, campaign)
    chosen = customer or stage.sample_customer(app.store, edition)
    if chosen is None:
        raise stage.no_mail(app.store, edition)
    return stage.write(app.store, edition, chosen, app.keys, app.settings.base_url, shared.now())
