"""Parses time windows, and dates relative to today."""

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
    "during": "a calendar period: 'during: last month', or a month or year: 'during: 2026-03'",
}
ZONE = "zone"
ZONES = {"company": False, "customer": True}
PERIODS = "today, yesterday, this week, last week, and so with month, quarter and year"
TOGETHER = ({"within", "before"}, {"since", "before"})
Edges = tuple[Edge, Edge]


def read_window(node: documents.Mapping, problems: Problems) -> Window:
    """Read the window words of a mapping; `EVER` if there are none, or after an error."""
    local = in_customer_zone(node, problems)
    entries = [(key, value) for key, value in node if key.text in WORDS]
    start: Edge = None
    end: Edge = None
    for key, value in entries:
        edges = _EDGES[key.text](value, problems)
        if edges is None:
            return EVER
        start, end = edges[0] or start, edges[1] or end
    if len(entries) > 1 and {key.text for key, _ in entries} not in TOGETHER:
        problems.add(entries[1][0], "two windows contradict each other", "Keep one, or use 'since' with 'before'.")
    elif len(entries) > 1 and _backwards(start, end):
        problems.add(entries[1][0], "the window ends before it begins", "Swap the two.")
    return Window(start, end, local)


def in_customer_zone(node: documents.Mapping, problems: Problems) -> bool:
    """Return whether a mapping says `zone: customer`; the default is the company's time zone."""
    value = node.get(ZONE)
    name = yaml_values.read_word(value, tuple(ZONES), problems, "zone") if value else None
    return ZONES[name] if name else False


def dated(node: documents.Mapping, problems: Problems) -> Relative | None:
    """Read a comparison of a date with today: {within: 30 days}; None after an error."""
    entries = [entry for entry in node if entry[0].text != ZONE]
    if len(entries) != 1:
        problems.add(node, "expected exactly one comparison", "For example {within: 30 days}.")
        return None
    key, value = entries[0]
    length = _length(key.text, value, problems)
    return Relative(key.text, length) if length else None


def _length(word: str, node: Node, problems: Problems) -> Span | Period | None:
    raw = node.text.strip() if isinstance(node, Scalar) else ""
    if word == "during" or (word == "anniversary_in" and Period.parse(raw)):
        return _period(node, problems, word)
    if word == "before":
        span = Span.parse(raw.removesuffix(" ago")) if raw.endswith(" ago") else None
        if span is None:
            problems.add(node, f"'before': '{raw}' is not a time ago", "For example '18 years ago'.")
        return span
    return yaml_values.read_span(node, problems, f"'{word}'")


def _period(node: Node, problems: Problems, word: str) -> Period | None:
    raw = node.text.strip() if isinstance(node, Scalar) else ""
    period = Period.parse(raw)
    if period is None:
        problems.add(node, f"'{word}': '{raw}' is not a calendar period", f"Write {PERIODS}.")
    return period


def _within(node: Node, problems: Problems) -> Edges | None:
    span = yaml_values.read_span(node, problems, "'within'")
    return (span, None) if span else None


def _since(node: Node, problems: Problems) -> Edges | None:
    raw = node.text.strip() if isinstance(node, Scalar) else ""
    if period := Period.parse(raw):
        return period, None
    day = yaml_values.read_value(node, FactType.date, problems)
    return (day, None) if isinstance(day, date) else None


def _before(node: Node, problems: Problems) -> Edges | None:
    raw = node.text.strip() if isinstance(node, Scalar) else ""
    if raw.endswith(" ago") and (span := Span.parse(raw.removesuffix(" ago"))):
        return None, span
    day = yaml_values.typed(raw, FactType.date)
    if isinstance(day, date):
        return None, day - timedelta(days=1)  # a window's end includes its day
    message = f"'before': '{raw}' is neither a date nor a time ago"
    problems.add(node, message, "For example '30 days ago' or 2026-01-01.")
    return None


def _between(node: Node, problems: Problems) -> Edges | None:
    pair = documents.Mapping(node.line, node.column, ((Scalar(node.line, node.column, "between"), node),))
    days: Comparison | None = yaml_values.read_comparison(pair, FactType.date, problems)
    return (days.values[0], days.values[1]) if days else None  # type: ignore[return-value]


def _during(node: Node, problems: Problems) -> Edges | None:
    raw = node.text.strip() if isinstance(node, Scalar) else ""
    if days := _month_or_year(raw):
        return days
    period = _period(node, problems, "during")
    return (period, period) if period else None


def _month_or_year(raw: str) -> tuple[date, date] | None:
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
        return False  # the order of a date and a time ago changes from day to day
    begins, ends = Window(start, end).bounds(datetime(2399, 12, 31, tzinfo=UTC), ZoneInfo("UTC"))
    return begins is not None and begins >= ends


def relates(node: Node) -> bool:
    """Return whether a date is compared with today rather than with another date."""
    if not isinstance(node, documents.Mapping):
        return False
    keys = {key.text for key, _ in node}
    return bool(keys & {*relative_dates.WORDS, ZONE})
