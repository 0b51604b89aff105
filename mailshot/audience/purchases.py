"""Owns reading what a rule says about purchases; refuses the other conditions."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from mailshot import documents
from mailshot.audience.nodes import MEASURES, Bought, Condition, Measure, Not
from mailshot.documents import Node, Problems, Scalar
from mailshot.profile import scalars, selections
from mailshot.profile.catalogue import FactType
from mailshot.profile.comparison import Comparison
from mailshot.profile.products import Selection
from mailshot.profile.selections import Range
from mailshot.profile.window import EVER, Edge, Span, Window

MOST_DAYS = 36_500
WINDOWS = {
    "within": "the last so-and-so long: 'within: 90 days'",
    "before": "longer ago than: 'before: 30 days ago', or before a date",
    "since": "from a date on: 'since: 2026-01-01'",
    "between": "two dates, both included: 'between: [2026-01-01, 2026-03-31]'",
}


def bought(node: Node, products: Range, problems: Problems, never: bool = False) -> Condition | None:
    """Read what stands under `bought:` or `never_bought:`."""
    before = len(problems.found)
    if not isinstance(node, documents.Mapping):
        problems.add(
            node,
            "expected product fields, a window or a measure",
            "For example {department: PRODUCE, within: 90 days}.",
        )
        return None
    own = {*WINDOWS, *MEASURES, "channel"}
    filters = documents.Mapping(node.line, node.column, tuple(entry for entry in node if entry[0].text not in own))
    meant = selections.read(filters, products, problems, also=own) if filters.entries else Selection()
    window = _window(node, problems)
    channel = node.get("channel")
    channels = scalars.texts(channel, problems, "channel") if channel else ()
    measures = tuple(filter(None, (_measure(key, given, problems) for key, given in node if key.text in MEASURES)))
    if never and measures:
        problems.add(node, "'never_bought' takes no measure", "Use 'bought' with 'times: {at_most: …}'.")
    if len(problems.found) > before or meant is None:
        return None
    found = Bought(node.line, meant, window, channels, measures)
    return Not(node.line, found) if never else found


def _measure(key: Scalar, node: Node, problems: Problems) -> Measure | None:
    found = scalars.comparison(node, FactType.number, problems)
    if found and any(isinstance(given, bool) for given in found.values):
        problems.add(node, f"'{key.text}' is always known", "Compare it with a number.")
        return None
    if found and key.text.startswith("days_") and any(given != int(given) for given in found.values):  # type: ignore[arg-type]
        problems.add(node, f"'{key.text}' counts whole days")
        return None
    if found and key.text.startswith("days_") and any(not 0 <= given <= MOST_DAYS for given in found.values):  # type: ignore[operator]
        problems.add(node, f"'{key.text}' counts from 0 to {MOST_DAYS:,} days")
        return None
    return Measure(key.text, found) if found else None


def _window(node: documents.Mapping, problems: Problems) -> Window:
    said = [(key, given) for key, given in node if key.text in WINDOWS]
    if not said:
        return EVER
    start: Edge = None
    end: Edge = None
    for key, given in said:
        edges = _edges(key.text, given, problems)
        if edges is None:
            return EVER
        start, end = edges[0] or start, edges[1] or end
    if len(said) > 1 and {key.text for key, _ in said} not in ({"within", "before"}, {"since", "before"}):
        problems.add(said[1][0], "two windows contradict each other", "Keep one, or use 'since' with 'before'.")
    elif len(said) > 1 and _backwards(start, end):
        problems.add(said[1][0], "the window ends before it begins", "Swap the two.")
    return Window(start, end)


def _backwards(start: Edge, end: Edge) -> bool:
    if type(start) is not type(end):
        return False  # how a day and 'so long ago' lie to each other changes from day to day
    begins, ends = Window(start, end).bounds(datetime(2199, 12, 31, tzinfo=UTC), ZoneInfo("UTC"))
    return begins is not None and begins >= ends


def _edges(name: str, node: Node, problems: Problems) -> tuple[Edge, Edge] | None:
    if name == "within":
        span = scalars.span(node, problems, "'within'")
        return (span, None) if span else None
    if name == "since":
        day = scalars.value(node, FactType.date, problems)
        return (day, None) if day else None  # type: ignore[return-value]
    if name == "before":
        return _before(node, problems)
    days: Comparison | None = scalars.comparison(
        documents.Mapping(node.line, node.column, ((Scalar(node.line, node.column, "between"), node),)),
        FactType.date,
        problems,
    )
    return (days.values[0], days.values[1]) if days else None  # type: ignore[return-value]


def _before(node: Node, problems: Problems) -> tuple[Edge, Edge] | None:
    raw = node.text.strip() if isinstance(node, Scalar) else ""
    if raw.endswith(" ago") and (span := Span.parse(raw.removesuffix(" ago"))):
        return None, span
    found = scalars.typed(raw, FactType.date)
    if isinstance(found, date):
        return None, found - timedelta(days=1)  # a window's end includes its day
    problems.add(
        node, f"'before': '{raw}' is neither a date nor 'so long ago'", "For example '30 days ago' or 2026-01-01."
    )
    return None
