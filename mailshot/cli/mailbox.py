"""`mailbox`: take mail that came back, look at it, and run the process that receives it."""

from __future__ import annotations

import mailbox as standard_mailbox
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mailshot.cli import context, output
from mailshot.errors import InvalidInput, NotFound, Problem, Refused, WrongArgument
from mailshot.incoming import mime_tree

if TYPE_CHECKING:
    from mailshot.bootstrap import App
    from mailshot.store.incoming_mail import IncomingRecord, RawMail

Number = Annotated[int, typer.Argument(min=1, max=2**63 - 1, help="The message's number; see 'mailshot mailbox list'.")]
#: A mail server repeats the delivery after this exit code of a pipe (EX_TEMPFAIL in sysexits.h).
TRY_AGAIN = 75
MAX_LISTED = 50
#: A longer message is cut: it carries attachments. So is a longer address.
MAX_BYTES, MAX_ADDRESS = 25 * 1024 * 1024, 1000
FILES = "Name message files, mbox files or Maildir folders."


def take(
    files: Annotated[
        list[Path],
        typer.Argument(help="Message files, mbox files, Maildir folders, or - for one message on standard input."),
    ],
    recipient: Annotated[
        str | None, typer.Option(help="The envelope's recipient, if the mail server names it.", metavar="ADDRESS")
    ] = None,
) -> None:
    """Take messages that came back: store them, then apply what they say. Taking one twice does nothing."""
    from mailshot.errors import MailshotError

    if files != [Path("-")]:
        _take(files, recipient)
        return
    try:
        _take(files, recipient)
    except Exception as error:
        # After any other exit code, the mail server would return the message to its sender, or drop it.
        output.err.print(f"Error: {error if isinstance(error, MailshotError) else type(error).__name__}", markup=False)
        sys.exit(TRY_AGAIN)


def _take(files: list[Path], recipient: str | None) -> None:
    from mailshot.feedback import incoming_mail

    _check(files, recipient)
    app = context.app()
    new = [incoming_mail.take(app.store, mail) for mail in _messages(files, recipient)]
    _process(app, is_pipe=files == [Path("-")])
    known = len(new) - sum(new)
    already = f" {known} {'was' if known == 1 else 'were'} known already." if known else ""
    output.print_text(f"Took {output.count_noun(sum(new), 'message')}.{already}")
    output.print_next_step("mailshot mailbox list")


def _process(app: App, is_pipe: bool) -> None:
    """Apply what the stored messages say. A pipe must not fail any more: its message is stored, and the clock reads it.

    The mail server would try again for days, and return the message then.
    """
    from mailshot.errors import MailshotError
    from mailshot.feedback import incoming_mail

    try:
        incoming_mail.process_waiting(app.store, app.keys, context.now)
    except MailshotError as error:
        if not is_pipe:
            raise
        output.err.print(f"The message is stored, but not read yet: {error}", markup=False, soft_wrap=True)


def _check(files: list[Path], recipient: str | None) -> None:
    """Refuse wrong arguments before anything is stored. A pipe is never refused: that would lose the message."""
    if files == [Path("-")]:
        return
    if recipient is not None and "@" not in recipient:
        raise WrongArgument("--recipient is not an address.", "Name the address that the mail server delivered to.")
    for path in files:
        if path != Path("-") and not path.exists():
            raise NotFound(f"There is no file {path}.", FILES)


def status(json: context.AsJson = False) -> None:
    """Show where mail and webhooks arrive, and what came back by kind."""
    from mailshot.states import IncomingKind
    from mailshot.store import incoming_mail

    app = context.app()
    with app.store.read() as connection:
        counts = incoming_mail.count_kinds(connection)
    waiting = sum(number for (kind, _), number in counts.items() if not kind)
    rows = [(kind, counts.get((kind, True), 0), counts.get((kind, False), 0)) for kind in IncomingKind]
    rows = [row for row in rows if row[1] or row[2]]
    webhooks = list(app.webhooks.secrets)
    if json:
        kinds = {str(kind): {"matched": matched, "unmatched": unmatched} for kind, matched, unmatched in rows}
        mailbox = str(app.mailbox or "")
        output.print_json({"mailbox": mailbox, "webhooks": webhooks, "waiting": waiting, "kinds": kinds})
        return
    if app.mailbox is None:
        output.print_text(
            "No mailbox is configured: mails contain no addresses for replies or for unsubscribing by mail."
        )
        output.print_next_step("set MAILSHOT_MAILBOX (see docs/feedback.md)")
    else:
        output.print_text(f"Mail arrives at {app.mailbox}.")
    if webhooks:
        output.print_text(f"Webhooks: {', '.join(webhooks)}.")
    if waiting:
        output.print_text(f"{output.count_noun(waiting, 'message')} waiting to be read.")
    if rows:
        lines = [(str(kind), matched, unmatched, kind.help) for kind, matched, unmatched in rows]
        output.print_table("", ("kind", "of our mails", "unmatched", "meaning"), lines)


def list_(
    kind: Annotated[str | None, typer.Option(help="Only messages of this kind: hard, soft, reply, …")] = None,
    unmatched: Annotated[
        bool, typer.Option("--unmatched", help="Only messages that belong to no mail of ours.")
    ] = False,
    customer: Annotated[
        str | None, typer.Option(help="Only messages about mails to this customer (key or address).", metavar="KEY")
    ] = None,
    number: Annotated[int, typer.Option("--number", "-n", min=1, max=1000, help="How many.")] = MAX_LISTED,
    json: context.AsJson = False,
) -> None:
    """List the latest messages that came back, and what each of them changed."""
    from mailshot.store import incoming_mail, profiles

    app, kinds = context.app(), [_kind(kind)] if kind else []
    with app.store.read() as connection:
        customer_id = profiles.find_customer(connection, customer) if customer else None
        records = incoming_mail.latest(connection, kinds, unmatched, number, customer_id)
    if json:
        output.print_json([_as_json(record) for record in records])
        return
    if not records:
        output.print_text("No such message has come back.")
        return
    zone = context.company_zone(app.settings.project)
    output.print_table(
        "",
        ("no.", "received", "kind", "customer", "run", "says", "changed"),
        [
            (
                str(record.id), context.moment(record.received_at, zone), str(record.kind or "waiting"),
                record.customer or "", str(record.run_id or ""), _says(record), record.effect,
            )
            for record in records
        ],
    )  # fmt: skip


def show(
    number: Number,
    raw: Annotated[bool, typer.Option("--raw", help="Print the message as it was received.")] = False,
    json: context.AsJson = False,
) -> None:
    """Show one message: what it says, by which rule, and what it changed."""
    from mailshot.store import incoming_mail

    app = context.app()
    with app.store.read() as connection:
        stored = incoming_mail.find(connection, number)
    if stored is None:
        raise NotFound(f"There is no message {number}.", "See 'mailshot mailbox list'.")
    record, content = stored
    if raw:
        if content is None:
            raise Refused(f"The bytes of message {number} are no longer kept.", "What was read from them is.")
        sys.stdout.buffer.write(content)
        return
    if json:
        output.print_json(_as_json(record))
        return
    zone = context.company_zone(app.settings.project)
    kind = f"{record.kind}: {record.kind.help}" if record.kind else "not read yet"
    output.print_text(f"Message {record.id}, received {context.moment(record.received_at, zone)} by {record.source}.")
    output.print_text(f"Kind: {kind}")
    of_mail = f"run {record.run_id}, customer {record.customer}" if record.run_id else "no mail of ours is known for it"
    output.print_text(output.printable(f"Mail: {of_mail}"))
    for name, value in record.verdict.items():
        output.print_text(output.printable(f"{name.replace('_', ' ')}: {value}"))
    output.print_text(f"Changed: {record.effect or 'nothing'}")


def read_again() -> None:
    """Read messages again that an older version of Mailshot read, and correct what follows from them."""
    from mailshot.feedback import incoming_mail as feedback
    from mailshot.incoming.parser import PARSER_VERSION
    from mailshot.states import AuditAction
    from mailshot.store import audit, incoming_mail

    app = context.app()
    with app.store.write() as connection:
        older = incoming_mail.process_again(connection, PARSER_VERSION)
        if older:
            subject = output.count_noun(older, "message")
            audit.record(connection, AuditAction.read_again, context.operator(app), context.now(), subject=subject)
    feedback.process_waiting(app.store, app.keys, context.now)
    output.print_text(f"Read {output.count_noun(older, 'message')} again.")


def _messages(files: list[Path], recipient: str | None) -> Iterator[RawMail]:
    from mailshot.states import IncomingSource
    from mailshot.store.incoming_mail import RawMail

    # Bytes that are no text reach us as surrogates, which no database stores.
    address = "".join(filter(str.isprintable, recipient or ""))[:MAX_ADDRESS] or None
    for path in files:
        for raw in _contents(path):
            if raw.strip():
                yield RawMail(raw, IncomingSource.pipe, address, context.now())


def _contents(path: Path) -> Iterator[bytes]:
    """Give the messages of a file, an mbox, standard input, or a Maildir; all of them stay as they are."""
    if path == Path("-"):
        yield sys.stdin.buffer.read(MAX_BYTES)
    elif path.is_dir():
        folders = [path / name for name in ("new", "cur") if (path / name).is_dir()]
        if not folders:
            raise NotFound(f"{path} is not a Maildir.", "It needs the folders new and cur. To take files, name them.")
        for entry in sorted(entry for folder in folders for entry in folder.iterdir() if entry.is_file()):
            yield _read(entry)
    elif _read(path, 5) == b"From ":
        box = standard_mailbox.mbox(path, create=False)
        yield from (box.get_bytes(key)[:MAX_BYTES] for key in box.keys())  # noqa: SIM118 (it is no dict)
    else:
        raw = _read(path)
        if raw.strip() and not mime_tree.parse(raw).headers:
            raise InvalidInput([Problem(str(path), 0, 0, "This is not a mail message.", remedy=FILES)])
        yield raw


def _read(path: Path, size: int = MAX_BYTES) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}.", FILES) from error


def _kind(word: str) -> Any:
    from mailshot.errors import nearest
    from mailshot.states import IncomingKind

    kind = next((kind for kind in IncomingKind if kind == word), None)
    if kind is None:
        raise NotFound(f"'{word}' is not a kind of message.", nearest(word, list(IncomingKind)))
    return kind


def _says(record: IncomingRecord) -> str:
    verdict = record.verdict
    written = " ".join(verdict.get("text", "").split()) or verdict.get("subject", "")
    parts = [verdict.get("reason", ""), verdict.get("diagnostic", "") or written]
    stop = "asks to stop" if verdict.get("asks_to_stop") else ""
    return ": ".join(part for part in (stop, *parts) if part)[:80]


def _as_json(record: IncomingRecord) -> dict[str, Any]:
    return {
        "id": record.id, "source": record.source, "received_at": record.received_at.isoformat(),
        "kind": str(record.kind or ""), "run": record.run_id, "customer": record.customer, **record.verdict,
        "changed": record.effect,
    }  # fmt: skip
