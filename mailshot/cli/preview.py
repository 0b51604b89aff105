"""`preview` and `send-test`: one mail as a real customer would get it."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mailshot import safe_files
from mailshot.cli import context, output
from mailshot.errors import InvalidInput, Problem, Unavailable

if TYPE_CHECKING:
    from mailshot.bootstrap import App
    from mailshot.render.compose import OutgoingMail

Customer = Annotated[str | None, typer.Option("--as", help="A customer's key or address. Default: the first.")]
Language = Annotated[
    str | None, typer.Option("--language", help="As if this were the customer's language, such as nb or pt-BR.")
]
Campaign = Annotated[str, typer.Argument(help="The campaign's name.")]


def preview(
    campaign: Campaign,
    customer: Customer = None,
    to: Annotated[Path | None, typer.Option(help="Write the HTML here instead of opening a browser.")] = None,
    text: Annotated[bool, typer.Option("--text", help="Print the plain text part.")] = False,
    language: Language = None,
) -> None:
    """Show a campaign's mail as a customer of the latest plan would get it."""
    letter = _letter(context.app(), campaign, customer, language)
    if text:
        lines = [letter.rendered.subject, "", *letter.rendered.text.splitlines()]
        output.print_text("\n".join(map(output.printable, lines)))
        return
    path = to or Path.cwd() / "preview.html"
    _write(path, letter.page().encode())
    output.print_text(f"Subject: {output.printable(letter.rendered.subject)}")
    if letter.language:
        output.print_text(f"Language: {letter.language}")
    output.print_text(f"Wrote {path} (for {letter.envelope_to}; links and tracking do not work in a preview).")
    if to is None:
        webbrowser.open(path.as_uri())
    output.print_next_step(f"mailshot send-test '{campaign}' you@example.com")


def _write(path: Path, html: bytes) -> None:
    """Write a customer's mail to a file that only its owner can read. Raises Unavailable."""
    try:
        safe_files.write_output(path, html, private=True)
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error.strerror}.", "Choose another file with --to.") from None


def send_test(
    campaign: Campaign,
    address: Annotated[str, typer.Argument(help="The address to send it to.")],
    customer: Customer = None,
    language: Language = None,
) -> None:
    """Send a campaign's mail to yourself, as a customer of the latest plan would get it."""
    from mailshot.deliver import smtp
    from mailshot.deliver.outcome import Status

    to = _address(address)
    app = context.app()
    letter = _letter(app, campaign, customer, language)
    verdict = smtp.send_test_mail(app.server, letter, to)
    if verdict.status is not Status.accepted:
        raise Unavailable(f"{app.server} did not accept the mail: {verdict.reply}", "Nothing else was sent.")
    output.print_text(output.printable(f"Sent '{smtp.TEST_MARK}{letter.rendered.subject}' to {to}: {verdict.reply}"))
    output.print_next_step(f"mailshot launch '{campaign}'")


def _address(text: str) -> str:
    """Return an address as used in SMTP. Raises InvalidInput if it is invalid."""
    found = context.parse_address(text)
    if found.smtputf8:
        reason = "it has letters before the @-sign that need SMTPUTF8, which Mailshot does not send"
        raise InvalidInput([Problem("ADDRESS", 0, 0, f"cannot send mail to '{text}': {reason}")])
    return found.email


def _letter(app: App, campaign: str, customer: str | None, language: str | None) -> OutgoingMail:
    from mailshot.campaign import preview as stage

    tag = _tag(language) if language is not None else None
    edition = context.read_edition(app, campaign)
    chosen = customer or stage.sample_customer(app.store, edition)
    if chosen is None:
        raise stage.no_mail(app.store, edition)
    return stage.write_preview(app.store, edition, chosen, app.keys, app.settings.base_url, context.now(), tag)


def _tag(language: str) -> str:
    """Return a language as a BCP 47 tag. Raises InvalidInput."""
    from mailshot.facts import language_matching, locales

    if tag := locales.language_tag(language):
        return tag
    close = language_matching.nearest(language)
    remedy = f"Did you mean '{close}'?" if close else "Write for example nb, en-GB or zh-Hant (BCP 47)."
    raise InvalidInput([Problem("--language", 0, 0, f"'{language}' is not a language.", remedy=remedy)])
