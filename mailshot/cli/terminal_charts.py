"""Draws bars and intervals as text, for terminals of any width.

Each date has its own line, so bars never overlap. Each series has its own glyph, so a chart is readable without
colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from rich.text import Text

STYLES = (
    ("█", "blue"), ("▓", "green"), ("▒", "yellow"), ("░", "magenta"), ("▞", "cyan"), ("▪", "red"), ("#", "bright_blue"),
    ("=", "bright_green"), ("x", "bright_yellow"), ("·", "bright_magenta"), (":", "bright_cyan"),
)  # fmt: skip
TICKS = 5
# A scale ends at one of these times a power of ten, so that each of its four parts is a whole number.
ENDS = (4, 8, 12, 20, 40, 60, 80, 100)


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of a stacked bar: a number for each series."""

    label: str
    parts: Sequence[int]


@dataclass(frozen=True, slots=True)
class IntervalBar:
    """One line: from `low` over `value` to `high`; hollow: too few customers. None: no customers."""

    label: str
    span: tuple[float, float, float] | None
    sure: bool
    style: str


def bars(title: str, series: Sequence[str], lines: Sequence[Bar], width: int) -> Text:
    """Draw stacked bars from 0, with a legend and the scale beneath."""
    label = max((len(line.label) for line in lines), default=0)
    room = max(width - label - 12, 10)
    top = _top(max((sum(line.parts) for line in lines), default=0))
    drawn = Text(f"{title}\n", style="bold")
    for number, name in enumerate(series):
        glyph, colour = STYLES[number % len(STYLES)]
        drawn.append("  " * bool(number) + glyph * 2, colour).append(f" {name}", "not bold")
    drawn.append("\n")
    for line in lines:
        drawn.append(f"{line.label:<{label}} │", "not bold")
        for number, (start, end) in enumerate(_edges(line.parts, top, room)):
            glyph, colour = STYLES[number % len(STYLES)]
            drawn.append(glyph * (end - start), colour)
        drawn.append(f" {sum(line.parts):,}\n", "not bold")
    return drawn.append_text(_scale(top, label, room, "{:,.0f}"))


def interval_bars(title: str, lines: Sequence[IntervalBar], width: int) -> Text:
    """Draw intervals on one scale, in per cent."""
    label = max((len(line.label) for line in lines), default=0)
    room = max(width - label - 12, 10)
    spans = [line.span for line in lines if line.span]
    low, high = min([0.0, *(span[0] for span in spans)]), max([0.0, *(span[2] for span in spans)])
    top = _top(max(high, -low) * 100) / 100
    bottom = -top if low < 0 else 0.0
    drawn = Text(f"{title}\n", style="bold")
    for line in lines:
        cells = [" "] * (room + 1)
        cells[_place(0, bottom, top, room)] = "│"
        if line.span:
            start, middle, end = (_place(value, bottom, top, room) for value in line.span)
            cells[start : end + 1] = "─" * (end + 1 - start)
            cells[start], cells[end] = "├", "┤"
            cells[middle] = "●" if line.sure else "○"
        drawn.append(f"{line.label:<{label}} ", "not bold").append(
            "".join(cells).rstrip() + "\n", f"not bold {line.style}"
        )
    return drawn.append_text(_scale(top * 100, label, room, "{:,.0f} %", bottom * 100))


def _edges(parts: Sequence[int], top: float, room: int) -> list[tuple[int, int]]:
    """Round running sums, not parts, so that the bar is as long as its total."""
    sums = [0]
    for part in parts:
        sums.append(sums[-1] + part)
    cells = [round(value / top * room) for value in sums]
    return list(pairwise(cells))


def _scale(top: float, label: int, room: int, number_format: str, bottom: float = 0.0) -> Text:
    line = [" "] * (label + room + 14)
    for number in range(TICKS):
        value = bottom + (top - bottom) * number / (TICKS - 1)
        text = number_format.format(value)
        start = label + 1 + round(room * number / (TICKS - 1)) - (len(text) // 2 if number else 0)
        line[start : start + len(text)] = text
    return Text("".join(line).rstrip() + "\n", style="dim")


def _place(value: float, bottom: float, top: float, room: int) -> int:
    return round((value - bottom) / (top - bottom) * room)


def _top(value: float) -> float:
    """Return the round number at which a scale ends: the first that is large enough."""
    return next(end * 10.0**power for power in range(20) for end in ENDS if end * 10.0**power >= value)
