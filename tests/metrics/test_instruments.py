"""Counting from several threads, and what is declared."""

from __future__ import annotations

import re
import threading
from pathlib import Path

from mailshot import metrics, states
from mailshot.metrics.instruments import Counter, Gauge, Histogram

UNITS = ("_seconds", "_mails", "_writes", "_connections", "_failures", "_faults", "_requests", "_events", "_relays")
OPERATING = Path(__file__).parents[2] / "docs" / "operating.md"


def test_no_count_of_several_threads_is_lost() -> None:
    counter, histogram = Counter("c", "", (), ("kind",)), Histogram("h", "", (), (1, 2))

    def count() -> None:
        for number in range(20_000):
            counter.add(2, "a")
            histogram.observe(number % 3)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.read() == [(("a",), 160_000)]
    ((_, seen),) = histogram.read()
    assert sum(seen.counts) == 80_000
    assert seen.sum == sum(number % 3 for number in range(20_000)) * 4


def test_a_value_on_a_bound_lies_below_it() -> None:
    histogram = Histogram("h", "", (), (1, 2))
    for value in (0.5, 1, 1.5, 2, 2.5):
        histogram.observe(value)
    ((_, seen),) = histogram.read()
    assert seen.counts == [2, 2, 1]


def test_a_gauge_is_the_sum_of_those_who_know_it() -> None:
    gauge, idle = Gauge("g", "", ()), Gauge("g", "", (), idle=0)
    assert (gauge.read(), idle.read()) == (None, 0)
    with gauge.reading(lambda: 2), gauge.reading(lambda: 3), gauge.reading(lambda: None):
        assert gauge.read() == 5
    assert gauge.read() is None


def test_every_outcome_of_a_worker_has_a_name() -> None:
    assert set(metrics.OUTCOMES) == set(states.REPORTED_FROM)


def test_names_have_a_unit_and_are_unique() -> None:
    names = [metric.name for metric in metrics.ALL]
    assert len(set(names)) == len(names)
    assert [name for name in names if not name.startswith("mailshot_") or not name.endswith(UNITS)] == []
    assert all({*metric.processes} <= {*metrics.PROCESSES} for metric in metrics.ALL)


def test_every_metric_is_documented_as_declared() -> None:
    text = OPERATING.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(mailshot_\w+)` \| (\w+) \| (.*?) \| (.*?) \| (.*?) \|$", text, re.MULTILINE)
    documented = {name: tuple(rest) for name, *rest in rows}
    declared = {
        metric.name + ("_total" if isinstance(metric, Counter) else ""): (
            type(metric).__name__.lower(),
            ", ".join(f"`{label}`" for label in metric.labels),
            ", ".join(metric.processes),
            metric.help,
        )
        for metric in metrics.ALL
    }
    assert {name: documented.get(name) for name in declared} == declared


def test_every_metric_of_an_alert_exists() -> None:
    text = OPERATING.read_text(encoding="utf-8").split("## Metrics")[1].split("\n## ")[0]
    used = {re.sub("_(bucket|count|sum)$", "", name) for name in re.findall(r"\bmailshot_\w+", text)}
    declared = {metric.name + ("_total" if isinstance(metric, Counter) else "") for metric in metrics.ALL}
    assert used - declared <= {"mailshot_info"}
