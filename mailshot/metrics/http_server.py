"""Shows the metrics of this process to Prometheus, at `/metrics` on a port of its own.

Every process has its own port, counted from the one in MAILSHOT_METRICS, so that several on one machine share the
setting. prometheus_client's multiprocess mode would write every number to a file instead, and could not ask gauges.
This is the only module that imports prometheus_client, and it is imported only where metrics are on.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from itertools import accumulate

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from mailshot import metrics
from mailshot.metrics.instruments import Counter, Gauge, Histogram, Metric

log = logging.getLogger(__name__)
#: The distance of each process's port from the one that is set. Workers take the first free one from theirs on.
PORT_OFFSETS = {metrics.WEB: 0, metrics.CLOCK: 1, metrics.MAILBOX: 2, metrics.WORKER: 3}
MAX_WORKERS = 64


def start(host: str, port: int, processes: Sequence[str]) -> int | None:
    """Serve this process's metrics in a thread until the process ends, and return its port.

    `processes`: the kinds of processes that this one is, the main one first; it decides the port. Returns None, and
    logs it, where no port is free: that must not keep mail from being sent, and Prometheus reports the target as down.
    """
    first, number = port + PORT_OFFSETS[processes[0]], MAX_WORKERS if processes[0] == metrics.WORKER else 1
    registry = CollectorRegistry()
    registry.register(ProcessMetrics(processes))
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    for candidate in range(first, min(first + number, 65536)):
        try:
            start_http_server(candidate, host, registry)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and candidate < first + number - 1:
                continue
            log.error("metrics cannot be served on %s:%s: %s. See MAILSHOT_METRICS.", host, candidate, error.strerror)
            return None
        log.info("metrics are served on %s:%s", host, candidate)
        return candidate
    log.error("metrics cannot be served: port %s does not exist. See MAILSHOT_METRICS.", first)
    return None


class ProcessMetrics(Collector):
    """Reads the metrics that have a meaning in some kinds of processes."""

    def __init__(self, processes: Sequence[str]) -> None:
        self._processes = processes
        self._metrics = [metric for metric in metrics.ALL if {*metric.processes} & {*processes}]

    def collect(self) -> Iterable[Family]:
        """Return every metric with its values, as prometheus_client wants them."""
        info = GaugeMetricFamily("mailshot_info", "What this process is; always 1.", labels=("version", "process"))
        for process in self._processes:
            info.add_metric((metadata.version("mailshot"), process), 1)
        yield info
        for metric in self._metrics:
            yield from _family(metric)


def _family(metric: Metric) -> Iterator[Family]:
    if isinstance(metric, Counter):
        counter = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
        for values, number in metric.read():
            counter.add_metric(values, number)
        yield counter
    elif isinstance(metric, Histogram):
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        bounds = [*map(str, map(float, metric.bounds)), "+Inf"]
        for values, seen in metric.read():
            buckets = list(zip(bounds, accumulate(seen.counts), strict=True))
            histogram.add_metric(values, buckets, seen.sum)
        yield histogram
    elif isinstance(metric, Gauge) and (value := metric.read()) is not None:
        gauge = GaugeMetricFamily(metric.name, metric.help)
        gauge.add_metric((), value)
        yield gauge
