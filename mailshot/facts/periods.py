"""Calendar periods and windows of time. `as_of` is always given; nothing here reads a clock."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

EARLIEST, LATEST = 1800, 2400  # nothing that is asked about lies further off, and neither database minds such a year
_SPAN = re.compile(r"(\d{1,5})\s*(hour|day|week|month|year)s?", re.ASCII)


HOUR, DAY = timedelta(hours=1), timedelta(days=1)
_LEAST = {"hour": HOUR, "day": DAY, "week": 7 * DAY, "month": 28 * DAY, "year": 365 * DAY}
_MOST = {**_LEAST, "month": 31 * DAY, "year": 366 * DAY}
_DAYS = {"today": 0, "yesterday": 1}
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_PERIOD = re.compile(r"(this|last)\s+(week|month|quarter|year)")


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
        return self._moved(moment, -self.count)

    def after(self, moment: datetime, times: int = 1) -> datetime:
        """Return `moment` plus this period N times, always from `moment`, so that a 31st stays a 31st."""
        return self._moved(moment, self.count * times)

    def _moved(self, moment: datetime, count: int) -> datetime:
        if self.unit in ("month", "year"):
            months = moment.year * 12 + moment.month - 1 + count * (12 if self.unit == "year" else 1)
            year, month = min(max(months // 12, EARLIEST), LATEST), months % 12 + 1
            return moment.replace(year=year, month=month, day=min(moment.day, monthrange(year, month)[1]))
        if self.unit == "hour":
            # Hours are elapsed time; a day ago is the same local time on the previous day.
            return (moment.astimezone(UTC) + timedelta(hours=count)).astimezone(moment.tzinfo)
        return moment + timedelta(days={"day": 1, "week": 7}[self.unit] * count)

    @property
    def approximate_days(self) -> timedelta:
        """The length for arithmetic that has no anchor: a month as 30 days, a year as 365."""
        return timedelta(hours={"hour": 1, "day": 24, "week": 168, "month": 720, "year": 8760}[self.unit] * self.count)

    @property
    def shortest(self) -> timedelta:
        """The least it can come to: a February, a day on which the clocks go forward."""
        return self.count * _LEAST[self.unit] - (timedelta() if self.unit == "hour" else HOUR)

    @property
    def longest(self) -> timedelta:
        """The most it can come to."""
        return self.count * _MOST[self.unit] + (timedelta() if self.unit == "hour" else HOUR)

    def __str__(self) -> str:
        return f"{self.count} {self.unit}{'' if self.count == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Period:
    """A calendar period relative to today: this month (0 back), last quarter (1 back). Weeks begin on Monday."""

    unit: str
    back: int

    @classmethod
    def parse(cls, text: str) -> Period | None:
        """Return the period that `text` says, None when it says none."""
        phrase = text.strip().lower()
        if phrase in _DAYS:
            return cls("day", _DAYS[phrase])
        match = _PERIOD.fullmatch(phrase)
        return cls(match[2], ("this", "last").index(match[1])) if match else None

    def days(self, today: date) -> tuple[date, date]:
        """Return its first and its last day."""
        if self.unit in _MONTHS:
            size = _MONTHS[self.unit]
            begins = (today.year * 12 + today.month - 1) // size * size - self.back * size
            return _first(begins), _first(begins + size) - timedelta(days=1)
        length = 7 if self.unit == "week" else 1
        first = today - timedelta(days=(today.weekday() if length == 7 else 0) + length * self.back)
        return first, first + timedelta(days=length - 1)

    def __str__(self) -> str:
        if self.unit == "day":
            return ("today", "yesterday")[self.back]
        return f"{('this', 'last')[self.back]} {self.unit}"


def _first(month: int) -> date:
    return date(month // 12, month % 12 + 1, 1)


@dataclass(frozen=True, slots=True)
class Fixed:
    """An edge at an exact moment; None is open."""

    at: datetime | None


Edge = Span | Period | Fixed | date | None


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` (included) to `end` (excluded); None means open, or `as_of` for the end: nothing later is ever seen.

    A date or period as `end` includes its last day. Days are the company's, or (`local`) the customer's own.
    """

    start: Edge = None
    end: Edge = None
    local: bool = False

    def bounds(self, as_of: datetime, zone: ZoneInfo) -> tuple[datetime | None, datetime]:
        """Return the moments between which something must lie, in UTC."""
        now = as_of.astimezone(zone)
        end = _moment(self.end, now, last=True)
        ends = min(as_of.astimezone(UTC), end or as_of.astimezone(UTC))
        return _moment(self.start, now, last=False), ends

    def words(self) -> str:
        phrase = self._phrase()
        return f"{phrase} (customer's time)" if self.local else phrase

    def _phrase(self) -> str:
        if isinstance(self.start, Period) and self.start == self.end:
            return f"during {self.start}"
        if isinstance(self.start, Span) and self.end is None:
            return f"within {self.start}"
        if isinstance(self.end, Span):
            since = f" since {self.start}{' ago' if isinstance(self.start, Span) else ''}" if self.start else ""
            return f"more than {self.end} ago{since}"
        if isinstance(self.start, date) and isinstance(self.end, date):
            return f"between {self.start} and {self.end}"
        since = f"since {self.start}{' ago' if isinstance(self.start, Span) else ''}" if self.start else ""
        return " ".join(filter(None, (since, f"until {self.end}" if self.end else ""))) or "ever"


EVER = Window()


def _moment(edge: Edge, now: datetime, last: bool) -> datetime | None:
    if edge is None or isinstance(edge, Fixed):
        return edge.at if edge else None
    if isinstance(edge, Span):
        return edge.before(now).astimezone(UTC)
    if isinstance(edge, Period):
        edge = edge.days(now.date())[last]
    return datetime.combine(edge + timedelta(days=int(last)), time(), now.tzinfo).astimezone(UTC)
