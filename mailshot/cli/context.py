"""What all commands share: settings, rules, the time, and common options."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from mailshot import logs as mailshot_logs
from mailshot.errors import InvalidInput, NotFound, Problem

if TYPE_CHECKING:
    from mailshot.bootstrap import App
    from mailshot.campaign.snapshot import Snapshot
    from mailshot.profile.address import Address
    from mailshot.rulebook.company import Company
    from mailshot.rulebook.rulebook import Rulebook
    from mailshot.settings import Settings


AsOf = Annotated[
    datetime | None,
    typer.Option("--as-of", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M"], help="Use this time as today (company time)."),
]
EXAMPLE_ADDRESS = "Write one plain address, for example you@example.com."
RUN_HELP = "The run's number, as 'mailshot report' lists them."
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def settings() -> Settings:
    """Read the settings of the project in the current folder (or MAILSHOT_PROJECT), and log as they say."""
    from mailshot import settings as settings_module

    chosen = settings_module.load_settings()
    mailshot_logs.use_format(chosen.log_format)
    return chosen


def app() -> App:
    """Build the parts for this project. Raises what bootstrap raises."""
    from mailshot import bootstrap

    return bootstrap.open_app(project_settings())


def project_settings() -> Settings:
    """Read the settings, and raise NotFound where there is no project."""
    chosen = settings()
    if not ((chosen.project / "rules").is_dir() or chosen.keys.get_secret_value()):
        where = chosen.project.resolve()
        raise NotFound(
            f"{where} is not a Mailshot project.",
            "Change to a project folder, set MAILSHOT_PROJECT, or create one: mailshot init FOLDER.",
        )
    return chosen


def rulebook(project: Path) -> Rulebook:
    from mailshot.rulebook.rulebook import Rulebook

    return Rulebook.load(project)


def load_valid_rules(project: Path) -> tuple[Rulebook, list[Problem]]:
    """Read the rules without the audiences and campaigns that are no YAML, and what is wrong with these."""
    from mailshot.rulebook.rulebook import Rulebook

    return Rulebook.load_valid(project)


def read_edition(app: App, campaign: str) -> Snapshot:
    """Read a campaign with its rules and templates; other files' errors do not matter here.

    Raises NotFound, which also tells when a campaign is scheduled without its file.
    """
    from mailshot.campaign import schedule_diff, snapshot

    project = app.settings.project
    rules = rulebook(project)
    schedule_diff.refuse_gone(app.store, rules, campaign)
    return snapshot.take_snapshot(rules, project, campaign)


def unread_replies(settings: Settings, rules: Rulebook, senders: Iterable[str]) -> list[Problem]:
    """Return a warning for each sender that wants replies in a mailbox that is not set up."""
    from mailshot.campaign import lint

    return [] if settings.mailbox.get_secret_value() else lint.unread_replies(rules, senders)


def today(edition: Snapshot, asked: datetime | None) -> datetime:
    from mailshot.campaign import snapshot

    return snapshot.as_of(edition, asked, now())


def company_today(rules: Rulebook, asked: datetime | None) -> datetime:
    """Return the moment that counts as today outside a campaign."""
    return rules.company.today(asked, now())


def operator(app: App) -> str:
    """Return who works on the command line: MAILSHOT_OPERATOR, or the user of the operating system."""
    import getpass

    try:
        return app.settings.operator.strip() or getpass.getuser()
    except (KeyError, OSError):  # a container may run a user that has no name
        return f"user {os.getuid()}"


def now() -> datetime:
    return datetime.now(UTC)


def company_zone(project: Path) -> ZoneInfo:
    """Return the company's time zone, in which moments are shown; UTC while that file cannot be read."""
    return company(project).time_zone


def company(project: Path) -> Company:
    """Read rules/company.yaml alone, which is quicker than all rules; the defaults while it cannot be read."""
    from mailshot import documents
    from mailshot.rulebook import company as file

    path = project / "rules" / "company.yaml"
    try:
        return file.read(documents.load_document(path, project, path.parent) if path.exists() else None)
    except InvalidInput:
        return file.read(None)


def parse_address(text: str) -> Address:
    """Parse an address argument. Raises InvalidInput if it is invalid."""
    from mailshot.profile import address as addresses

    address = addresses.normalise(text)
    if isinstance(address, addresses.Fault):
        message, remedy = f"'{text}' is not an e-mail address: {address.reason}", EXAMPLE_ADDRESS
        raise InvalidInput([Problem("ADDRESS", 0, 0, message, remedy=remedy)])
    return address


def moment(at: datetime, zone: ZoneInfo) -> str:
    """Show a moment in the company's zone, and name the zone."""
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M %Z}"


def list_campaigns(project: Path) -> list[str]:
    """Return the names of the campaigns in the rules, as far as they can be read."""
    try:
        return list(load_valid_rules(project)[0].campaigns)
    except (InvalidInput, NotFound):
        return []


def refuse(problems: Sequence[Problem]) -> None:
    """Raise all problems together, if there are any."""
    if problems:
        raise InvalidInput(problems)


def logs() -> None:
    """Log warnings and errors to stderr, as text until the settings are read. The level is the usual LOGLEVEL."""
    mailshot_logs.mask_logs()
    level = os.environ.get("LOGLEVEL", "WARNING").upper()
    logging.basicConfig(level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
