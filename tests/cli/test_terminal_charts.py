"""Checks that charts of letters fit their width, are as long as their numbers, and need no colours."""

from __future__ import annotations

import pytest

from mailshot.cli import terminal_charts
from mailshot.cli.terminal_charts import Bar, IntervalBar


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("most", [0, 1, 3, 99, 100, 101, 12_345_678])
def test_bars_fit_and_say_their_totals(width: int, most: int) -> None:
    lines = [Bar("2017-01-01", [most, 0, 0]), Bar("2017-02-01", [most // 3] * 3), Bar("2017-03-01", [0, 0, 0])]
    chart = terminal_charts.bars("Audience (customers)", ["a", "b", "c"], lines, width).plain.splitlines()
    assert max(map(len, chart)) <= width
    assert chart[2].endswith(f" {most:,}")
    assert chart[4] == "2017-03-01 │ 0"


def test_a_bar_is_as_long_as_the_sum_of_its_rounded_parts() -> None:
    lines = [Bar("x", [100]), Bar("y", [33, 33, 34])]
    chart = terminal_charts.bars("t", ["a", "b", "c"], lines, 80).plain.splitlines()
    assert len(chart[2]) == len(chart[3])
    assert len(set(chart[3].split("│")[1].split()[0])) == 3


def test_intervals_fit_and_mark_what_is_too_few() -> None:
    lines = [
        IntervalBar("2017-01-01 inside ", (0.2, 0.5, 1.0), True, "blue"),
        IntervalBar("           outside", (-0.1, 0.0, 0.1), False, "yellow"),
        IntervalBar("2017-02-01 inside ", None, False, "blue"),
    ]
    chart = terminal_charts.interval_bars("Share", lines, 80).plain.splitlines()
    assert max(map(len, chart)) <= 80
    assert chart[1].count("●") == chart[2].count("○") == 1
    assert chart[3].endswith("│")
    assert chart[4].split() == ["-100", "%", "-50", "%", "0", "%", "50", "%", "100", "%"]
    assert terminal_charts.interval_bars("Share", [], 80).plain.splitlines()[-1].split() == [
        "0",
        "%",
        "1",
        "%",
        "2",
        "%",
        "3",
        "%",
        "4",
        "%",
    ]
