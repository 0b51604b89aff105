"""Owns spans of time in plain words; refuses to read a clock: `as_of` is always given."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

EARLIEST = 1800  # no purchase is older, and neither database minds a year like this
_SPAN = re.compile(r"(\d{1,5})\s*(hour|day|week|month|year)s?")


@dataclass(frozen=True, slots=True)
class Span:
    """A length of time as written: '90 days', '3 months' (calendar months)."""

    count: int
    unit: str

    @classmethod
    def parse(cls, text: str) -> Span | None:
        """Return the span that `text` says, None when it says none."""
        match = _SPAN.fullmatch(text.strip().lower())
        return cls(int(match[1]), match[2]) if match and int(match[1]) > 0 else None

    def before(self, moment: datetime) -> datetime:
        """Return the moment this long before; a month before 31 March is the last day of February."""
        if self.unit in ("month", "year"):
            months = moment.year * 12 + moment.month - 1 - self.count * (12 if self.unit == "year" else 1)
            year, month = max(months // 12, EARLIEST), months % 12 + 1
            return moment.replace(year=year, month=month, day=min(moment.day, monthrange(year, month)[1]))
        if self.unit == "hour":
            # Hours pass alike whatever the clock on the wall does; a day ago is the same time by that clock.
            return (moment.astimezone(UTC) - timedelta(hours=self.count)).astimezone(moment.tzinfo)
        days = {"day": 1, "week": 7}[self.unit] * self.count
        return moment - timedelta(days=days)

    @property
    def rough(self) -> timedelta:
        """The length for arithmetic that has no anchor: a month as 30 days, a year as 365."""
        return timedelta(hours={"hour": 1, "day": 24, "week": 168, "month": 720, "year": 8760}[self.unit] * self.count)

    def __str__(self) -> str:
        return f"{self.count} {self.unit}{'' if self.count == 1 else 's'}"


Edge = Span | date | None


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` (included) to `end` (excluded); None means open, or `as_of` for the end: nothing later is ever seen.

    A date as `end` includes that whole day in the company's time zone.
    """

    start: Edge = None
    end: Edge = None

    def bounds(self, as_of: datetime, zone: ZoneInfo) -> tuple[datetime | None, datetime]:
        """Return the moments between which something must lie."""
        return _moment(self.start, as_of, zone, 0), min(_moment(self.end, as_of, zone, 1) or as_of, as_of)

    def words(self) -> str:
        if isinstance(self.start, Span) and self.end is None:
            return f"within {self.start}"
        if isinstance(self.end, Span):
            since = f" since {self.start} ago" if self.start else ""
            return f"more than {self.end} ago{since}"
        if self.start and self.end:
            return f"between {self.start} and {self.end}"
        return f"since {self.start}" if self.start else f"until {self.end}" if self.end else "ever"


EVER = Window()


def _moment(edge: Edge, as_of: datetime, zone: ZoneInfo, extra_days: int) -> datetime | None:
    if isinstance(edge, Span):
        return edge.before(as_of)
    if edge is None:
        return None
    return datetime.combine(edge + timedelta(days=extra_days), time(), zone)
