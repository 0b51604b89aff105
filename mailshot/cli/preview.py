"""`preview` and `send-test`: one mail as a real customer would get it."""

from __future__ import annotations

import html
import webbrowser
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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


class Client(StrEnum):
    """How a mail is looked at."""

    desktop = "desktop"
    phone = "phone"
    dark = "dark"
    plain = "plain"


Content = Annotated[
    str | None,
    typer.Option("--content", help="Show this content of the campaign, whatever the plan has for the customer."),
]


def preview(
    campaign: Campaign,
    customer: Customer = None,
    content: Content = None,
    client: Annotated[
        Client, typer.Option(help="desktop, phone (375 pixels wide), dark (mode), or plain (the text part).")
    ] = Client.desktop,
    png: Annotated[Path | None, typer.Option(help="Write a picture of the whole mail here.", dir_okay=False)] = None,
    to: Annotated[Path | None, typer.Option(help="Write the HTML here instead of opening a browser.")] = None,
    text: Annotated[bool, typer.Option("--text", help="Print the plain text part, like --client plain.")] = False,
    language: Language = None,
) -> None:
    """Show a campaign's mail as a customer of the latest plan would get it."""
    client = Client.plain if text else client
    if client in (Client.phone, Client.dark) and png is None:
        raise typer.BadParameter(f"'{client}' is only for pictures: add --png FILE.", param_hint="--client")
    letter = _letter(context.app(), campaign, customer, content, language)
    if client is Client.plain and png is None:
        lines = [letter.rendered.subject, "", *letter.rendered.text.splitlines()]
        output.print_text("\n".join(map(output.printable, lines)))
        return
    output.print_text(f"Subject: {output.printable(letter.rendered.subject)}")
    if letter.language:
        output.print_text(f"Language: {letter.language}")
    if names := [file.name for file in letter.files if not file.content_id]:
        output.print_text(f"Attached: {output.printable(', '.join(names))}")
    if png is not None:
        _write_picture(png, letter, client)
    if png is None or to is not None:
        path = to or Path.cwd() / "preview.html"
        output.write_private(path, letter.page().encode())
        output.print_text(f"Wrote {path} (for {letter.envelope_to}; links and tracking do not work in a preview).")
        if to is None:
            webbrowser.open(path.as_uri())
    output.print_next_step(f"mailshot send-test '{campaign}' you@example.com")


def _write_picture(path: Path, letter: OutgoingMail, client: Client) -> None:
    """Write a picture of a mail. Raises Unavailable."""
    from mailshot.cli import screenshot

    screens = {
        Client.phone: screenshot.Screen(375, scale=2, is_phone=True),
        Client.dark: screenshot.Screen(800, scale=2, is_dark=True),
    }
    page = _text_as_html(letter) if client is Client.plain else letter.page()
    picture = screenshot.take_screenshot(page, screens.get(client, screenshot.Screen(800, scale=2)))
    output.write_private(path, picture.png, "--png")
    output.print_text(f"Wrote {path} (for {letter.envelope_to}, {client}).")
    for url, reason in picture.missing.items():
        output.err.print(output.printable(f"This picture is missing ({reason}): {url}"), soft_wrap=True)
    if not picture.is_complete and not picture.missing:
        output.err.print("The mail did not load in time, so parts of it may be missing.")


def _text_as_html(letter: OutgoingMail) -> str:
    text = html.escape(f"{letter.rendered.subject}\n\n{letter.rendered.text}")
    style = "margin:32px;font:15px/1.45 monospace;white-space:pre-wrap;overflow-wrap:anywhere"
    return f'<!doctype html><meta charset="utf-8"><title>-</title><body><pre style="{style}">{text}</pre>'


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
    letter = _letter(app, campaign, customer, language=language)
    verdict = smtp.send_test_mail(app.server, letter, to, app.dkim_keys)
    if verdict.status is not Status.accepted:
        raise Unavailable(f"{app.server} did not accept the mail: {verdict.reply}", "Nothing else was sent.")
    output.print_text(output.printable(f"Sent '{smtp.TEST_MARK}{letter.rendered.subject}' to {to}: {verdict.reply}"))
    output.print_next_step(f"mailshot launch '{campaign}'")


def _address(text: str) -> str:
    """Return an address as used in SMTP. Raises InvalidInput if it is invalid."""
    parsed = context.parse_address(text)
    if parsed.smtputf8:
        reason = "it has letters before the @-sign that need SMTPUTF8, which Mailshot does not send"
        raise InvalidInput([Problem("ADDRESS", 0, 0, f"cannot send mail to '{text}': {reason}")])
    return parsed.email


def _letter(
    app: App, campaign: str, customer: str | None, content: str | None = None, language: str | None = None
) -> OutgoingMail:
    from mailshot.campaign import preview as stage

    tag = _tag(language) if language is not None else None
    edition = context.read_edition(app, campaign)
    chosen = customer or stage.sample_customer(app.store, edition, content)
    if chosen is None and content is not None:  # the plan gives it to no customer
        chosen = stage.sample_customer(app.store, edition)
    if chosen is None:
        raise stage.no_mail(app.store, edition)
    now, base_url = context.now(), app.settings.base_url
    letter = stage.write_preview(app.store, edition, chosen, app.keys, base_url, now, content, tag)
    if content is not None and (planned := stage.planned_content(app.store, edition, chosen)) != content:
        instead = f"'{planned}'" if planned else "no mail"
        output.err.print(output.printable(f"By the plan, {chosen} gets {instead}, not '{content}'."))
    return letter


def _tag(language: str) -> str:
    """Return a language as a BCP 47 tag. Raises InvalidInput."""
    from mailshot.facts import language_matching, locales

    if tag := locales.language_tag(language):
        return tag
    close = language_matching.nearest(language)
    remedy = f"Did you mean '{close}'?" if close else "Write for example nb, en-GB or zh-Hant (BCP 47)."
    raise InvalidInput([Problem("--language", 0, 0, f"'{language}' is not a language.", remedy=remedy)])
