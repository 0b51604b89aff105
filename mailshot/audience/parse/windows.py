"""Owns reading windows of time, and days told by their distance from today; refuses what happened in them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from mailshot import documents
from mailshot.documents import Node, Problems, Scalar
from mailshot.facts import relative_dates, yaml_values
from mailshot.facts.catalogue import FactType
from mailshot.facts.comparison import Comparison
from mailshot.facts.periods import EVER, Edge, Period, Span, Window
from mailshot.facts.relative_dates import Relative

WORDS = {
    "within": "within the last N hours, days, weeks, months or years: 'within: 90 days'",
    "before": "longer ago than: 'before: 30 days ago', or before a date",
    "since": "from a date on: 'since: 2026-01-01', or 'since: this month'",
    "between": "two dates, both included: 'between: [2026-01-01, 2026-03-31]'",
    "during": "a stretch of the calendar: 'during: last month', or a month or year: 'during: 2026-03'",
}
ZONE = "zone"
ZONES = {"company": False, "customer": True}
PERIODS = "today, yesterday, this week, last week, and so with month, quarter and year"
TOGETHER = ({"within", "before"}, {"since", "before"})
Edges = tuple[Edge, Edge]


def read(node: documents.Mapping, problems: Problems) -> Window:
    """Read the window words of a mapping; `EVER` when there are none, or after a problem was told."""
    local = zone(node, problems)
    said = [(key, given) for key, given in node if key.text in WORDS]
    start: Edge = None
    end: Edge = None
    for key, given in said:
        edges = _EDGES[key.text](given, problems)
        if edges is None:
            return EVER
        start, end = edges[0] or start, edges[1] or end
    if len(said) > 1 and {key.text for key, _ in said} not in TOGETHER:
        problems.add(said[1][0], "two windows contradict each other", "Keep one, or use 'since' with 'before'.")
    elif len(said) > 1 and _backwards(start, end):
        problems.add(said[1][0], "the window ends before it begins", "Swap the two.")
    return Window(start, end, local)


def zone(node: documents.Mapping, problems: Problems) -> bool:
    """Read `zone: customer`; the company's time zone when nothing is said."""
    given = node.get(ZONE)
    found = yaml_values.word(given, tuple(ZONES), problems, "zone") if given else None
    return ZONES[found] if found else False


def dated(node: documents.Mapping, problems: Problems) -> Relative | None:
    """Read what a date is compared with when that depends on today: {within: 30 days}."""
    entries = [entry for entry in node if entry[0].text != ZONE]
    if len(entries) != 1:
        problems.add(node, "expected exactly one comparison", "For example {within: 30 days}.")
        return None
    key, given = entries[0]
    length = _length(key.text, given, problems)
    return Relative(key.text, length) if length else None


def _length(word: str, node: Node, problems: Problems) -> Span | Period | None:
    raw = node.text.strip() if isinstance(node, Scalar) else ""
    if word == "during" or (word == "anniversary_in" and Period.parse(raw)):
        return _period(node, problems, word)
    if word == "before":
        span = Span.parse(raw.removesuffix(" ago")) if raw.endswith(" ago") else None
        if span is None:
            problems.add(node, f"'before': '{raw}' is not 'so long ago'", "For example '18 years ago'.")
        return span
    return yaml_values.span(node, problems, f"'{word}'")


def _period(node: Node, problems: Problems, word: str) -> Period | None:
    raw = node.text.strip() if isinstance(node, Scalar) else ""
    found = Period.parse(raw)
    if found is None:
        problems.add(node, f"'{word}': '{raw}' is no stretch of the calendar", f"Write {PERIODS}.")
    return found


def _within(node: Node, problems: Problems) -> Edges | None:
    span = yaml_values.span(node, problems, "'within'")
    return (span, None) if span else None


def _since(node: Node, problems: Problems) -> Edges | None:
    raw = node.text.strip() if isinstance(node, Scalar) else ""
    if period := Period.parse(raw):
        return period, None
    day = yaml_values.value(node, FactType.date, problems)
    return (day, None) if isinstance(day, date) else None


def _before(node: Node, problems: Problems) -> Edges | None:
    raw = node.text.strip() if isinstance(node, Scalar) else ""
    if raw.endswith(" ago") and (span := Span.parse(raw.removesuffix(" ago"))):
        return None, span
    found = yaml_values.typed(raw, FactType.date)
    if isinstance(found, date):
        return None, found - timedelta(days=1)  # a window's end includes its day
    told = f"'before': '{raw}' is neither a date nor 'so long ago'"
    problems.add(node, told, "For example '30 days ago' or 2026-01-01.")
    return None


def _between(node: Node, problems: Problems) -> Edges | None:
    pair = documents.Mapping(node.line, node.column, ((Scalar(node.line, node.column, "between"), node),))
    days: Comparison | None = yaml_values.comparison(pair, FactType.date, problems)
    return (days.values[0], days.values[1]) if days else None  # type: ignore[return-value]


def _during(node: Node, problems: Problems) -> Edges | None:
    raw = node.text.strip() if isinstance(node, Scalar) else ""
    if stretch := _stretch(raw):
        return stretch
    period = _period(node, problems, "during")
    return (period, period) if period else None


def _stretch(raw: str) -> tuple[date, date] | None:
    """Return the first and last day of a year or month written as 2026 or 2026-03."""
    year, dash, month = raw.partition("-")
    if not (year.isascii() and year.isdigit() and len(year) == 4 and int(year) in yaml_values.YEARS):
        return None
    if not dash:
        return date(int(year), 1, 1), date(int(year), 12, 31)
    if not (month.isascii() and month.isdigit() and len(month) == 2 and 1 <= int(month) <= 12):
        return None
    first = date(int(year), int(month), 1)
    return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)


_EDGES = {"within": _within, "since": _since, "before": _before, "between": _between, "during": _during}


def _backwards(start: Edge, end: Edge) -> bool:
    if type(start) is not type(end) or isinstance(start, Period):
        return False  # how a day and 'so long ago' lie to each other changes from day to day
    begins, ends = Window(start, end).bounds(datetime(2399, 12, 31, tzinfo=UTC), ZoneInfo("UTC"))
    return begins is not None and begins >= ends


def relates(node: Node) -> bool:
    """Say whether a date is compared with today rather than with a date."""
    if not isinstance(node, documents.Mapping):
        return False
    words = {key.text for key, _ in node}
    return bool(words & {*relative_dates.WORDS, ZONE})
