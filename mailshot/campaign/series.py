"""Owns which past dates a backtest looks at; refuses to look."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from mailshot.errors import Refused
from mailshot.profile.window import Span

MONTH, YEAR = Span(1, "month"), Span(1, "year")
MOST = 400


@dataclass(frozen=True, slots=True)
class Series:
    """The dates a user asked for; what is None is derived from the purchases."""

    since: datetime | None = None
    until: datetime | None = None
    every: Span = MONTH

    def moments(self, first: datetime | None, last: datetime | None, within: Span, zone: ZoneInfo) -> list[datetime]:
        """Return the dates, oldest first. `first` and `last` purchase, and the goal's window, say what is left open.

        By default: the last year of dates whose goal's window ends before the data does, months on their first day.
        Raises Refused when there are none, or too many.
        """
        until = self.until or self._latest(last, within, zone)
        found = self._forward(self.since, until) if self.since else self._back(until, first)
        if not found:
            said = f"from {self.since:%Y-%m-%d} until {until:%Y-%m-%d}" if self.since else f"until {until:%Y-%m-%d}"
            known = f"Purchases are known from {first:%Y-%m-%d} to {last:%Y-%m-%d}." if first and last else ""
            raise Refused(f"There is no date {said} to look at.", f"{known} Choose others with --from and --until.")
        return found

    def _latest(self, last: datetime | None, within: Span, zone: ZoneInfo) -> datetime:
        if last is None:
            raise Refused("There are no purchases to choose dates from.", "Import some, or give --from and --until.")
        day = midnight(within.before(end_of_data(last, zone)), zone)
        return day.replace(day=1) if self.every.unit in ("month", "year") and self.since is None else day

    def _forward(self, since: datetime, until: datetime) -> list[datetime]:
        found: list[datetime] = []
        while (moment := self.every.after(since, len(found))) <= until:
            self._refuse_too_many(found)
            found.append(moment)
        return found

    def _back(self, until: datetime, first: datetime | None) -> list[datetime]:
        begin = max(YEAR.before(until), first) if first else YEAR.before(until)
        found = [until] if first is None or until > first or self.until else []
        while found and (moment := self.every.after(until, -len(found))) > begin:
            self._refuse_too_many(found)
            found.append(moment)
        return found[::-1]

    def _refuse_too_many(self, found: list[datetime]) -> None:
        if len(found) >= MOST:
            raise Refused(f"That would be more than {MOST} dates.", "Take fewer: for example --every '1 week'.")


def midnight(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return the midnight with which a moment's day began in the company's zone."""
    return datetime.combine(moment.astimezone(zone).date(), time(), zone)


def end_of_data(last: datetime, zone: ZoneInfo) -> datetime:
    """Return the midnight after the last purchase: of that day nothing more is expected."""
    return midnight(last, zone) + timedelta(days=1)
