"""How the version of a campaign that is scheduled differs from the files as they are now.

A schedule keeps the version it was launched with, so edits change nothing until `launch --replace` takes them.
`status`, `plan` and `rules check` report it, with the texts of this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from mailshot.campaign import dependencies
from mailshot.campaign import snapshot as editions
from mailshot.campaign.snapshot import Snapshot
from mailshot.errors import InvalidInput, NotFound
from mailshot.rulebook.rulebook import Rulebook
from mailshot.states import ScheduleState
from mailshot.store import runs, snapshots
from mailshot.store.engine import Connection, Store
from mailshot.store.runs import ScheduleRecord

GONE = "the campaign's file is gone"
WRONG = "the files have errors now (see mailshot rules check)"


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A schedule, compared with the files. Moments are in the company's time zone."""

    campaign: str
    state: ScheduleState
    next_at: datetime
    made_at: datetime
    #: Names of the parts that are different in the files.
    differs: tuple[str, ...] = ()
    #: Why they cannot be compared.
    trouble: str = ""

    @property
    def current(self) -> bool:
        """Whether the files are as they are scheduled."""
        return not self.differs and not self.trouble

    @property
    def paused(self) -> bool:
        return self.state is ScheduleState.paused

    def words(self) -> str:
        """Return which version is scheduled, and what differs, in words."""
        version = f"scheduled with the version of {self.made_at:%Y-%m-%d %H:%M %Z}"
        if self.trouble:
            return f"{version}; {self.trouble}"
        return f"{version}; the files differ now: {', '.join(self.differs)}" if self.differs else version

    def remedy(self) -> str:
        """Return how to take the version of the files, or to end the schedule."""
        if self.current:
            return ""
        remedy = f"It goes on sending that version; to {self._change()}"
        if self.paused:
            remedy = (
                f"It is paused; to go on sending that version: mailshot resume '{self.campaign}'; to {self._change()}"
            )
        return remedy

    def _change(self) -> str:
        if self.trouble:
            return f"end it: mailshot cancel '{self.campaign}'"
        return f"take the new one: mailshot plan '{self.campaign}', then: mailshot launch '{self.campaign}' --replace"

    def as_dict(self) -> dict[str, Any]:
        return {
            "campaign": self.campaign,
            "state": self.state.label,
            "next_at": self.next_at.isoformat(),
            "made_at": self.made_at.isoformat(),
            "differs": list(self.differs),
            "trouble": self.trouble,
        }


def compare_schedules(connection: Connection, project: Path) -> list[Scheduled]:
    """Return all open schedules, compared with the files of a project. The rules are only read when there is one."""
    rows = runs.schedules(connection)
    if not rows:
        return []
    try:
        rules, problems = Rulebook.load_valid(project)
        zone = rules.company.time_zone
    except (InvalidInput, NotFound) as error:
        trouble = GONE if isinstance(error, NotFound) else WRONG
        return [_schedule(row, ZoneInfo(row.zone), trouble=trouble) for row in rows]
    schedules = []
    for row in rows:
        try:
            schedules.append(_compared(connection, row, editions.take_snapshot(rules, project, row.campaign)))
        except NotFound:
            # The file may exist, but not be YAML.
            schedules.append(_schedule(row, zone, trouble=WRONG if problems else GONE))
        except InvalidInput:
            schedules.append(_schedule(row, zone, trouble=WRONG))
    return schedules


def compare_schedule(connection: Connection, edition: Snapshot) -> Scheduled | None:
    """Return the schedule of a campaign, compared with a snapshot of it; None when it is not scheduled."""
    rows = runs.schedules(connection, edition.name)
    return _compared(connection, rows[0], edition) if rows else None


def refuse_gone(store: Store, rulebook: Rulebook, campaign: str) -> None:
    """Raise NotFound for a scheduled or paused campaign whose file no longer exists."""
    if campaign in rulebook.campaigns:
        return
    with store.read() as connection:
        rows = runs.schedules(connection, campaign)
    if rows:
        schedule = _schedule(rows[0], rulebook.company.time_zone, trouble=GONE)
        raise NotFound(
            f"There is no campaign '{campaign}' in the rules, but it is {schedule.words()}.", f"{schedule.remedy()}."
        )


def _compared(connection: Connection, row: ScheduleRecord, edition: Snapshot) -> Scheduled:
    now, zone = dependencies.part_digests(edition), edition.rulebook.company.time_zone
    try:
        then = dependencies.part_digests(editions.thaw(snapshots.body(connection, row.definition)))
    except InvalidInput as error:
        return _schedule(row, zone, trouble=f"this Mailshot cannot read that version: {error}")
    return _schedule(row, zone, tuple(dependencies.differences(then, now)))


def _schedule(row: ScheduleRecord, zone: ZoneInfo, differs: tuple[str, ...] = (), trouble: str = "") -> Scheduled:
    next_at, made_at = row.next_at.astimezone(zone), row.made_at.astimezone(zone)
    return Scheduled(row.campaign, row.state, next_at, made_at, differs, trouble)
