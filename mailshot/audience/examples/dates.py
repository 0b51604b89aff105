"""Parses dates and times in examples: '10 days ago', 'yesterday', '2026-03-01 18:05'. "Today" is an argument."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from mailshot.documents import Node, Problems, Scalar
from mailshot.facts.periods import Span
from mailshot.facts.yaml_values import YEARS

NOON = time(12)
_DATED = re.compile(r"\d{4}-\d\d-\d\d(?!\d)", re.ASCII)
LATEST = datetime(YEARS[-1], 12, 31)
NEAR = {"yesterday": -1, "today": 0, "tomorrow": 1}
REMEDY = "Write for example '10 days ago', 'yesterday', 2026-03-01 or 2026-03-01 18:05."


@dataclass(frozen=True, slots=True)
class Today:
    """The moment that an example takes for now."""

    #: In the company's time zone.
    today: datetime
    #: The example says `as_of`, so it stays the same on other days.
    pinned: bool

    @property
    def zone(self) -> ZoneInfo:
        zone = self.today.tzinfo
        assert isinstance(zone, ZoneInfo)
        return zone

    def at(self, moment: datetime) -> Today:
        """Return the same with another, fixed moment."""
        return Today((moment if moment.tzinfo else moment.replace(tzinfo=self.zone)).astimezone(self.zone), True)

    def day(self, day: date) -> datetime:
        """Return noon of a day; midnight of today, if noon is still to come."""
        noon = datetime.combine(day, NOON, self.zone)
        later = day == self.today.date() and noon >= self.today
        return datetime.combine(day, time(), self.zone) if later else noon


def pin(node: Node, clock: Today, problems: Problems) -> Today:
    """Read `as_of`: a date, which is its midnight, or a date and time."""
    stated = _stated(_text(node))
    if stated is None:
        remedy = "For example 2026-04-01 or 2026-04-01 09:00."
        problems.add(node, f"'as_of': '{_text(node)}' is not a date or time", remedy)
        return clock.at(LATEST)  # so that no other date is reported as being in the future
    return clock.at(stated if isinstance(stated, datetime) else datetime.combine(stated, time()))


def past(node: Node, clock: Today, problems: Problems) -> datetime | None:
    """Read when an activity took place, in UTC; None after an error.

    It must be before "today", and stay in the past by the same distance: a fixed date needs a fixed `as_of`.
    """
    raw = _text(node)
    stated = _stated(raw)
    moment = _moment(stated, clock) if stated else _relative(raw, clock)
    # In local time, two moments of the night when the clocks go back would be equal.
    at = moment.astimezone(UTC) if moment else None
    if at is None:
        problems.add(node, f"'{raw}' is not a date or time", REMEDY)
    elif stated and not clock.pinned:
        message = f"'{raw}' is fixed, but 'today' moves on, so the result of the example will change one day"
        problems.add(node, message, "Write how long ago it was ('10 days ago'), or 'as_of: 2026-04-01' next to it.")
    elif at >= clock.today.astimezone(UTC):
        message = f"'{raw}' is not before 'today' ({clock.today:%Y-%m-%d %H:%M}); rules ignore anything later"
        problems.add(node, message, "Write an earlier date, or a later 'as_of'.")
    else:
        return at
    return None


def read_date_fact(node: Node, clock: Today, problems: Problems) -> datetime | None:
    """Read a date fact of the customer, also in the future ('in 14 days', 'tomorrow'); None after an error."""
    raw = _text(node)
    stated = _stated(raw)
    moment = _moment(stated, clock) if stated else _relative(raw, clock)
    if moment is None:
        problems.add(node, f"'{raw}' is not a date", "Write for example 1990-03-31, '30 years ago' or 'in 14 days'.")
    return moment


def _text(node: Node) -> str:
    return node.text.strip() if isinstance(node, Scalar) else ""


def _moment(stated: date | datetime, clock: Today) -> datetime:
    if not isinstance(stated, datetime):
        return clock.day(stated)
    return stated if stated.tzinfo else stated.replace(tzinfo=clock.zone)


def _relative(raw: str, clock: Today) -> datetime | None:
    phrase = raw.lower()
    if phrase in NEAR:
        return clock.day(clock.today.date() + timedelta(days=NEAR[phrase]))
    if phrase.endswith(" ago") and (span := Span.parse(phrase.removesuffix(" ago"))):
        return span.before(clock.today)
    if phrase.startswith("in ") and (span := Span.parse(phrase.removeprefix("in "))):
        return span.after(clock.today)
    return None


def _stated(raw: str) -> date | datetime | None:
    """Return the date, or date and time, that a text is; None if it is neither."""
    if not _DATED.match(raw):
        return None
    readers: tuple[Callable[[str], date], ...] = (date.fromisoformat, datetime.fromisoformat)
    for read in readers:
        try:
            stated = read(raw)
        except ValueError:
            continue
        return stated if stated.year in YEARS else None
    return None
