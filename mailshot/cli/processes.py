"""The long-running commands `up`, `web`, `worker`, `clock`, `mailbox receive` and `inbox`.

Ctrl-C or SIGTERM shuts each down gracefully.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mailshot import metrics
from mailshot.cli import child_processes, context, output, signals
from mailshot.errors import Refused

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from mailshot.bootstrap import App
    from mailshot.intake.mailbox_address import MailboxAddress
    from mailshot.rulebook.rulebook import Rulebook
    from mailshot.web.site import SignUpSettings, SiteSettings

#: Where cores are few, a page that somebody waits for goes before a mail that can wait (nice(2)).
SENDER_NICENESS = 5
Threads = Annotated[int, typer.Option(help="Runs processed at the same time.", min=1, max=16)]


def up(threads: Threads = 2, inbox: Annotated[bool, typer.Option(help="Also run the inbox.")] = False) -> None:
    """Run everything on this machine: web pages, worker and clock (embedded mode).

    Mails are sent in a process of its own, so that they delay no web page.
    """
    from mailshot.web import server as web_server

    app = context.app()
    if not app.settings.embedded:
        raise Refused("MAILSHOT_REDIS is set, so this project scales out.", "Start the processes of the Procfile.")
    signing = _signing(app)
    with signals.stopping() as stop, _inbox(app) if inbox else _nothing():
        mailbox = _mailbox_thread(app, stop)
        _serve_metrics(app, metrics.WEB, *([metrics.MAILBOX] if mailbox else []))
        site = web_server.ThreadedServer(_site(app), app.settings.web_host, app.settings.web_port, app.settings.proxies)
        site.start()
        sender = child_processes.ChildProcesses("worker", 1, work_with_clock, threads)
        sender.start()
        for thread in mailbox:
            thread.start()
        output.print_text(
            f"Up: {app.settings.base_url} (preferences, tracking), sending to {_servers(app)}{signing}. "
            "Ctrl-C shuts down gracefully."
        )
        freeze_startup_objects()
        stop.wait()
        sender.stop()
        for thread in mailbox:
            thread.join()
        site.stop()
    output.print_text("Stopped. Each mail in progress was completed or released.")


def _signing(app: App) -> str:
    """Read the DKIM keys, so that an unusable one stops the start; return how many there are. Raises SettingsError."""
    return f", with {output.count_noun(len(app.dkim_keys), 'DKIM key')}" if len(app.dkim_keys) else ""


def _servers(app: App) -> str:
    """Return the SMTP server, and the relays that senders may have besides."""
    return ", ".join([str(app.server), *(f"relay {name} ({server})" for name, server in app.relays.items())])


def work_with_clock(stop: threading.Event, threads: int) -> None:
    """Be worker and clock in one process until `stop` is set: a launch of the clock wakes the worker at once."""
    from mailshot import tasks

    os.nice(SENDER_NICENESS)
    app = context.app()
    _serve_metrics(app, metrics.WORKER, metrics.CLOCK)
    clock = threading.Thread(target=tasks.tick_until, args=(app, stop), name="clock")
    clock.start()
    freeze_startup_objects()
    tasks.work_until(app, threads, stop)
    clock.join()


def web() -> None:
    """Run the web process: tracking, unsubscribe and preference pages."""
    from mailshot.web import server as web_server

    app = context.app()
    web_server.check_port(app.settings.web_host, app.settings.web_port)
    output.print_text(f"Web on {app.settings.web_host}:{app.settings.web_port} as {app.settings.base_url}.")
    site = _site(app)
    _serve_metrics(app, metrics.WEB)
    freeze_startup_objects()
    web_server.serve_app(site, app.settings.web_host, app.settings.web_port, app.settings.proxies)


def worker(
    threads: Threads = 1,
    processes: Annotated[
        int | None,
        typer.Option(help="Processes, each with its own connections. Default: one per core; on SQLite 1.", min=1),
    ] = None,
) -> None:
    """Run a worker, which renders and sends mails. Start as many as you need."""
    app = context.app()
    signing, number = _signing(app), processes or (1 if app.store.sqlite else os.cpu_count() or 1)
    with signals.stopping() as stop:
        each = f" in each of {number} processes" if number > 1 else ""
        output.print_text(f"Worker with {app.settings.connections} connections to {_servers(app)}{each}{signing}.")
        if number == 1:
            _work(app, stop, threads)
            return
        children = child_processes.ChildProcesses("worker", number, work, threads)
        children.start()
        stop.wait()
        children.stop()


def work(stop: threading.Event, threads: int) -> None:
    """Be a worker until `stop` is set, in a child process."""
    _work(context.app(), stop, threads)


def _work(app: App, stop: threading.Event, threads: int) -> None:
    from mailshot import tasks

    _serve_metrics(app, metrics.WORKER)
    freeze_startup_objects()
    tasks.work_until(app, threads, stop)


def clock() -> None:
    """Run the clock (scheduler), which launches due campaigns and wakes workers. A second clock is a standby."""
    from mailshot import tasks

    app = context.app()
    with signals.stopping() as stop:
        output.print_text("Clock.")
        _serve_metrics(app, metrics.CLOCK)
        tasks.tick_until(app, stop)


def receive() -> None:
    """Run the mailbox process, which receives bounces, complaints and replies where MAILSHOT_MAILBOX says."""
    from mailshot import tasks

    app = context.app()
    with signals.stopping() as stop:
        if app.mailbox is None:
            # A process manager that starts the whole Procfile would end all processes with this one.
            output.print_text(
                "No mailbox is configured, so nothing is received. Set MAILSHOT_MAILBOX (docs/feedback.md)."
            )
            stop.wait()
            return
        _check_mailbox_port(app.mailbox)
        output.print_text(f"Receiving mail: {app.mailbox}.")
        _serve_metrics(app, metrics.MAILBOX)
        tasks.receive_until(app, app.mailbox, stop)


def inbox(
    host: Annotated[str, typer.Option(help="Address to listen on; must belong to this machine.")] = "127.0.0.1",
    folder: Annotated[Path, typer.Option(help="Folder where caught mails are stored.")] = Path("inbox"),
) -> None:
    """Run a local mail catcher: it shows each mail as a mail client would, and delivers none."""
    from mailshot.inbox import server as inbox_server

    settings = context.settings()
    catcher = inbox_server.Inbox(settings.inbox_smtp_port, settings.inbox_web_port, folder, host)
    catcher.check_ports()
    output.print_text(
        f"Inbox: http://{host}:{settings.inbox_web_port} catches smtp://{host}:{settings.inbox_smtp_port}."
    )
    output.print_next_step("mailshot up, in another terminal")
    catcher.serve()


def _mailbox_thread(app: App, stop: threading.Event) -> list[threading.Thread]:
    """Return the thread that receives mail, if a mailbox is configured."""
    if app.mailbox is None:
        return []
    _check_mailbox_port(app.mailbox)
    from mailshot import tasks

    return [threading.Thread(target=tasks.receive_until, args=(app, app.mailbox, stop), name="mailbox")]


def _serve_metrics(app: App, *kinds: str) -> None:
    """Serve the metrics of this process, which is of these kinds (`metrics.PROCESSES`), if MAILSHOT_METRICS is set."""
    if app.settings.metrics_address:
        from mailshot.metrics import http_server

        http_server.start(*app.settings.metrics_address, kinds)


def _check_mailbox_port(mailbox: MailboxAddress) -> None:
    """Raise Unavailable if mail is to be received on a port that cannot be listened on."""
    from mailshot.web import server as web_server

    if mailbox.listens:
        web_server.check_port(mailbox.host, mailbox.port, "MAILSHOT_MAILBOX")


def freeze_startup_objects() -> None:
    """Exempt what was made at the start from garbage collection, for the whole life of this process.

    These are some 150,000 objects of libraries, which never become garbage. To look at all of them again stops every
    thread for 100 ms and more, about once a second under load.
    """
    gc.collect()
    gc.freeze()


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _inbox(app: App) -> Iterator[None]:
    from mailshot.inbox import server as inbox_server

    settings = app.settings
    caught = inbox_server.Inbox(settings.inbox_smtp_port, settings.inbox_web_port, settings.project / "inbox")
    caught.start()
    output.print_text(f"Inbox: http://127.0.0.1:{settings.inbox_web_port}")
    try:
        yield
    finally:
        caught.stop()


def _site(app: App) -> Starlette:
    from mailshot.web.app import create_app

    return create_app(app.store, app.keys, site_settings(app))


def site_settings(app: App) -> SiteSettings:
    """Return what the pages for customers take from the rules and the settings."""
    from mailshot.web.site import SiteSettings

    rules = context.rulebook(app.settings.project)
    return SiteSettings(
        brand=rules.company.brand,
        topics=rules.topics,
        statements=rules.statements,
        address_key=app.address_key,
        facts=rules.catalogue.customer,
        contact=_contact(rules),
        zone=rules.company.time_zone,
        language=rules.company.language,
        webhooks=app.webhooks,
        sign_up=_sign_up(app, rules),
    )


def _sign_up(app: App, rules: Rulebook) -> SignUpSettings:
    """Return how visitors sign up; the mail with the link is from the first sender."""
    from mailshot.store.sign_ups import SignUpLimits
    from mailshot.web.site import SignUpSettings

    first, settings = next(iter(rules.senders.values()), None), app.settings
    sender = first.freeze(rules.company.brand) if first else None
    limits = SignUpLimits(settings.signup_per_address, settings.signup_per_client, settings.signup_per_hour)
    days, seconds = timedelta(days=settings.signup_days), timedelta(seconds=settings.signup_seconds)
    return SignUpSettings(sender, limits, days, seconds)


def _contact(rules: Rulebook) -> str:
    """Return the address that answers customers: the first sender's."""
    first = next(iter(rules.senders.values()), None)
    return (first.reply_to or first.address) if first else ""
