"""`doctor`: checks every part of an installation and prints how to fix what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from mailshot.cli import context, output, private_files
from mailshot.errors import InvalidInput, MailshotError, WrongArgument

if TYPE_CHECKING:
    from mailshot.bootstrap import App

REMEDY = "Is a clock running, and is no program reading the database for hours (a backup, a report)?"

#: What imports wrote or read and the inbox caught, with names and addresses in clear text.
FOLDERS = ("rejects", "inbox", "data")


def doctor(
    json: context.AsJson = False,
    senders: Annotated[
        bool, typer.Option("--senders", help="Check the senders instead: SPF, DKIM, DMARC, PTR, TLS.")
    ] = False,
    nameserver: Annotated[
        str | None, typer.Option(help="With --senders: ask this name server, ADDRESS or ADDRESS:PORT.")
    ] = None,
    sends_from: Annotated[
        list[str] | None,
        typer.Option(help="With --senders: an IP address that mails leave from, if it is not the relay's. Repeatable."),
    ] = None,
) -> None:
    """Check settings, database, keys, privacy, rules, templates, SMTP server, Redis, clock and erasures."""
    if senders:
        from mailshot.cli import doctor_senders

        return doctor_senders.check_senders(nameserver, sends_from or [], json)
    if nameserver or sends_from:
        raise WrongArgument("--nameserver and --sends-from are only for --senders.", "Add --senders.")
    checks = [_look(name, look) for name, look in _LOOKS.items()]
    if json:
        output.print_json([{"part": name, "sound": sound, "says": says} for name, sound, says in checks])
    else:
        for name, sound, says in checks:
            output.out.print(f"{'✓' if sound else '✗'} {name}: {says}", markup=False)
    if not all(sound for _, sound, _ in checks):
        raise typer.Exit(6)


def _look(name: str, look: Callable[[], str]) -> tuple[str, bool, str]:
    try:
        return name, True, look()
    except InvalidInput as error:
        return name, False, f"{len(error.problems)} problems, the first: {error.problems[0]}"
    except MailshotError as error:
        return name, False, str(error)


def _settings() -> str:
    settings = context.settings()
    return f"project {settings.project.resolve()}, {'embedded' if settings.embedded else 'scale-out'}"


def _database() -> str:
    from mailshot.store.engine import database_location

    return f"{database_location(context.app().store.engine)} is up to date"


def _keys() -> str:
    app: App = context.app()
    assert app.keys
    return "signing keys and address key are set"


def _privacy() -> str:
    return private_files.check_private_files(context.settings())


def _rules() -> str:
    from mailshot.campaign import snapshot

    project = context.settings().project
    rules = context.rulebook(project)
    context.refuse(rules.check())
    for name in rules.campaigns:
        snapshot.take_snapshot(rules, project, name).mailing()
    return f"{output.count_noun(len(rules.campaigns), 'campaign')} with templates: no errors"


def _smtp() -> str:
    from mailshot.deliver import smtp

    app = context.app()
    smtp.check_server(app.server)
    return f"{app.server} is reachable"


def _queue() -> str:
    settings = context.settings()
    if settings.embedded:
        return "in process"
    from mailshot import doorbell

    doorbell.check_redis(settings.redis)
    return f"Redis on {urlsplit(settings.redis).hostname or 'a local socket'} is reachable"


def _clock() -> str:
    from mailshot.store import leases

    app = context.app()
    with app.store.read() as connection:
        holder = leases.holder(connection, "clock", context.now())
    return (
        f"held by {holder}"
        if holder
        else "no clock is running; scheduled campaigns are not launched until you run 'mailshot up' or 'mailshot clock'"
    )


def _written() -> str:
    """List the project's folders with files that erasure does not cover."""
    project = context.settings().project
    numbers = {folder: sum(1 for file in (project / folder).glob("**/*") if file.is_file()) for folder in FOLDERS}
    there = [f"{folder}/ ({output.count_noun(number, 'file')})" for folder, number in numbers.items() if number]
    return f"; check {', '.join(there)} yourself: erasure does not cover them" if there else ""


def _erasures() -> str:
    from mailshot.errors import Unavailable
    from mailshot.store import erasures, scrubbing

    app = context.app()
    with app.store.read() as connection:
        waiting, ever = erasures.count_pending(connection), erasures.count_erasures(connection)
    if waiting.since is None:
        return "no erasure is pending" + (_written() if ever else "")
    hours = erasures.PROMISED // timedelta(hours=1)
    since = context.moment(waiting.since, context.company_zone(app.settings.project))
    state = f"{output.count_noun(waiting.number, 'erasure')} pending, the oldest since {since}"
    if large := scrubbing.too_large(app.store):
        raise Unavailable(f"{state}; {', '.join(large)} too large to lock.", "Run 'mailshot db scrub' at a quiet hour.")
    if not scrubbing.may_clear_statistics(app.store):
        message = f"{state}; the database role may not rewrite PostgreSQL's statistics, which contain common values."
        raise Unavailable(message, "Let it own the database: ALTER DATABASE name OWNER TO role.")
    if waiting.is_late(context.now()):
        raise Unavailable(f"{state}; customers are promised erasure within {hours} hours.", REMEDY)
    return f"{state}; the clock process will complete it"


_LOOKS: dict[str, Callable[[], str]] = {
    "settings": _settings,
    "database": _database,
    "keys": _keys,
    "privacy": _privacy,
    "rules": _rules,
    "smtp": _smtp,
    "queue": _queue,
    "clock": _clock,
    "erasures": _erasures,
}
