"""Owns reading the moments of an example: '10 days ago', 'yesterday', '2026-03-01 18:05'; refuses to read a clock."""

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
    """What counts as "today", in the company's time zone; `pinned` says that it stays so on other days."""

    today: datetime
    pinned: bool

    @property
    def zone(self) -> ZoneInfo:
        zone = self.today.tzinfo
        assert isinstance(zone, ZoneInfo)
        return zone

    def at(self, moment: datetime) -> Today:
        """Return a clock that stands at another moment for good."""
        return Today((moment if moment.tzinfo else moment.replace(tzinfo=self.zone)).astimezone(self.zone), True)

    def day(self, day: date) -> datetime:
        """Return noon of a day; today, when noon is still to come, its beginning."""
        noon = datetime.combine(day, NOON, self.zone)
        later = day == self.today.date() and noon >= self.today
        return datetime.combine(day, time(), self.zone) if later else noon


def pin(node: Node, clock: Today, problems: Problems) -> Today:
    """Read `as_of`: a day, that is its first moment, or a moment."""
    found = _stated(_text(node))
    if found is None:
        problems.add(node, f"'as_of': '{_text(node)}' is no moment", "For example 2026-04-01 or 2026-04-01 09:00.")
        return clock.at(LATEST)  # so that no other moment is told for a mistake that it is not
    return clock.at(found if isinstance(found, datetime) else datetime.combine(found, time()))


def past(node: Node, clock: Today, problems: Problems) -> datetime | None:
    """Read when something happened, in UTC: before "today", and so that it stays as long ago as it is."""
    raw = _text(node)
    stated = _stated(raw)
    moment = _moment(stated, clock) if stated else _relative(raw, clock)
    # On one wall, two moments of the night the clocks go back would pass for the same.
    found = moment.astimezone(UTC) if moment else None
    if found is None:
        problems.add(node, f"'{raw}' is no moment", REMEDY)
    elif stated and not clock.pinned:
        told = f"'{raw}' stays where it is, but 'today' moves on, and one day the example will come out otherwise"
        problems.add(node, told, "Write how long ago it was ('10 days ago'), or 'as_of: 2026-04-01' beside it.")
    elif found >= clock.today.astimezone(UTC):
        told = f"'{raw}' is not before 'today' ({clock.today:%Y-%m-%d %H:%M}); nothing later is ever seen"
        problems.add(node, told, "Write an earlier moment, or a later 'as_of'.")
    else:
        return found
    return None


def of_fact(node: Node, clock: Today, problems: Problems) -> datetime | None:
    """Read a date of the customer's, which may be to come: also 'in 14 days' and 'tomorrow'."""
    raw = _text(node)
    stated = _stated(raw)
    found = _moment(stated, clock) if stated else _relative(raw, clock)
    if found is None:
        problems.add(node, f"'{raw}' is no date", "Write for example 1990-03-31, '30 years ago' or 'in 14 days'.")
    return found


def _text(node: Node) -> str:
    return node.text.strip() if isinstance(node, Scalar) else ""


def _moment(stated: date | datetime, clock: Today) -> datetime:
    if not isinstance(stated, datetime):
        return clock.day(stated)
    return stated if stated.tzinfo else stated.replace(tzinfo=clock.zone)


def _relative(raw: str, clock: Today) -> datetime | None:
    words = raw.lower()
    if words in NEAR:
        return clock.day(clock.today.date() + timedelta(days=NEAR[words]))
    if words.endswith(" ago") and (span := Span.parse(words.removesuffix(" ago"))):
        return span.before(clock.today)
    if words.startswith("in ") and (span := Span.parse(words.removeprefix("in "))):
        return span.after(clock.today)
    return None


def _stated(raw: str) -> date | datetime | None:
    """Return the day or moment that a text names by the calendar."""
    if not _DATED.match(raw):
        return None
    readers: tuple[Callable[[str], date], ...] = (date.fromisoformat, datetime.fromisoformat)
    for read in readers:
        try:
            found = read(raw)
        except ValueError:
            continue
        return found if found.year in YEARS else None
    return None
