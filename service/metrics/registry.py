"""The registry behind `Metrics`: how a metric is declared and described, and how all of them are rendered.

Owns the prefix of names, the default buckets, the metrics of this process and of Python, and those read of other
processes. Knows no metric of the service by name. Used on the API process's event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Metric,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

PREFIX = "pheye_"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
WORKER_LABELS = ("worker", "device")


@dataclass(frozen=True, slots=True)
class MetricRow:
    """A line of the table of metrics in `docs/monitoring.md`."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str


class ProcessSeries(Collector):
    """One metric of other processes, read from `/proc` when it is scraped; a process that is gone has no series."""

    def __init__(self, row: MetricRow, source: str) -> None:
        """Take what to call it, and the name under which Prometheus' client has it for its own process."""
        self._row, self._source = row, source
        self._pids: dict[tuple[str, ...], Callable[[], int | None]] = {}

    def watch(self, labels: tuple[str, ...], pid: Callable[[], int | None]) -> None:
        """Read a process from now on; it may be another one each time."""
        self._pids[labels] = pid

    def forget(self, labels: tuple[str, ...]) -> None:
        """Read a process no more."""
        self._pids.pop(labels, None)

    def describe(self) -> Iterable[Metric]:
        """Name the metric without reading any process."""
        return [self._family()]

    def collect(self) -> Iterator[Metric]:
        """Read the value of each process."""
        family = self._family()
        for labels, pid_of in self._pids.items():
            pid = pid_of()
            if pid is not None:
                for value in self._read(pid):
                    family.add_sample(self._row.name, dict(zip(self._row.labels, labels, strict=True)), value)
        yield family

    def _family(self) -> Metric:
        return Metric(self._row.name.removesuffix("_total"), self._row.help, self._row.type)

    def _read(self, pid: int) -> list[float]:
        read = ProcessCollector(pid=lambda: pid, registry=None).collect()
        return [sample.value for family in read for sample in family.samples if sample.name == self._source]


class MetricRegistry:
    """Metrics of one service, in the order in which they were declared; the attribute `rows` describes them."""

    def __init__(self) -> None:
        """Begin with the metrics of this process: `process_*`, `python_info` and `python_gc_*`."""
        # Without this, the text format shows the creation time of each metric as a gauge of its own.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self.rows: list[MetricRow] = []
        self._look_up: list[Callable[[], None]] = []
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def _counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        self._describe("counter", name, text, labels)
        return Counter(PREFIX + name, text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
        self._describe("gauge", name, text, labels)
        return Gauge(PREFIX + name, text, labels, registry=self._registry)

    def _histogram(
        self, name: str, text: str, labels: Sequence[str] = (), buckets: Sequence[float] = SECONDS
    ) -> Histogram:
        self._describe("histogram", name, text, labels)
        return Histogram(PREFIX + name, text, labels, buckets=buckets, registry=self._registry)

    def _of_workers(self, kind: str, name: str, text: str, source: str) -> ProcessSeries:
        series = ProcessSeries(self._describe(kind, name, text, WORKER_LABELS), source)
        self._registry.register(series)
        return series

    def _describe(self, kind: str, name: str, text: str, labels: Iterable[str]) -> MetricRow:
        row = MetricRow(PREFIX + name, kind, tuple(labels), text)
        self.rows.append(row)
        return row

    def before_reading(self, look_up: Callable[[], None]) -> None:
        """Call `look_up` before metrics are read: it sets gauges that would change many times in between."""
        self._look_up.append(look_up)

    def refresh(self) -> None:
        """Set the gauges that are looked up when metrics are read."""
        for look_up in self._look_up:
            look_up()

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Render all metrics for an `Accept` header: OpenMetrics if it asks for that, else Prometheus' text format.

        Exemplars are in OpenMetrics only: the text format has no place for them.

        Returns:
            The text, and its content type.
        """
        self.refresh()
        return rendered(self._registry, accept)

    def collect(self) -> list[Metric]:
        """Read all metrics, for whoever puts those of several processes together."""
        self.refresh()
        return list(self._registry.collect())


def rendered(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """Render a registry for an `Accept` header, as `MetricRegistry.render` does."""
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is no number
        encode, content_type = choose_encoder("")
    return encode(registry), content_type
