"""Metrics of the workers, with the labels `worker` (its number, in the order of PHEYE_DEVICES) and `device`.

Owns their names, units, help texts and buckets, and how a worker's step report becomes counts. Used on the API
process's event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import Counter, Gauge

from service.messages.from_worker import StepReport
from service.metrics.registry import WORKER_LABELS, MetricRegistry

PHASES = ("encode", "prefill", "decode", "other")
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

WorkerLabels = tuple[str, str]


class WorkerMetrics(MetricRegistry):
    """Metrics of the work of all workers, one by one; the times of their batches are of all together."""

    def __init__(self) -> None:
        """Declare them; each worker's series begin with `declare_worker`."""
        super().__init__()
        self._declare_workers()
        self._declare_work()
        self._declare_steps()

    def _declare_workers(self) -> None:
        self.requests_running = self._gauge(
            "requests_running", "Answers that hold a slot and are being generated.", WORKER_LABELS
        )
        self.slots = self._gauge(
            "slots", "Answers that a worker can generate at the same time; 0 while it is not ready.", WORKER_LABELS
        )
        self.slots_used = self._gauge("slots_used", "Slots in use in a worker's latest step.", WORKER_LABELS)
        self.slots_used_ratio = self._gauge(
            "slots_used_ratio",
            "Share of a worker's slots in use in its latest step, 0 to 1; 0 while it is not ready.",
            WORKER_LABELS,
        )
        self.feature_cache_bytes = self._gauge(
            "feature_cache_bytes", "Bytes of image features that a worker keeps.", WORKER_LABELS
        )
        self.feature_folder_bytes = self._gauge(
            "feature_folder_bytes", "Bytes of the files in the feature folder, as a worker knows them.", WORKER_LABELS
        )
        self.worker_cpu_seconds = self._of_workers(
            "counter",
            "worker_cpu_seconds_total",
            "Seconds of CPU time that a worker process has taken; process_cpu_seconds_total is the API process's.",
            "process_cpu_seconds_total",
        )
        self.worker_resident_memory_bytes = self._of_workers(
            "gauge",
            "worker_resident_memory_bytes",
            "Bytes of memory that a worker process holds; process_resident_memory_bytes is the API process's.",
            "process_resident_memory_bytes",
        )
        self.worker_restarts = self._counter(
            "worker_restarts_total",
            "Worker processes replaced because they died or made no progress; should stay 0.",
            WORKER_LABELS,
        )

    def _declare_work(self) -> None:
        self.prompt_tokens = self._counter(
            "prompt_tokens_total", "Prompt tokens prefilled, image not included.", WORKER_LABELS
        )
        self.generated_tokens = self._counter("generated_tokens_total", "Tokens generated.", WORKER_LABELS)
        self.encoded_tiles = self._counter(
            "encoded_tiles_total",
            "Image tiles that went through the vision encoder; cache hits add none.",
            WORKER_LABELS,
        )
        self.feature_cache_queries = self._counter(
            "feature_cache_queries_total", "Images looked up in the feature cache.", WORKER_LABELS
        )
        self.feature_cache_hits = self._counter(
            "feature_cache_hits_total",
            "Images whose features were in the cache or in the feature folder, so that no tile was encoded.",
            WORKER_LABELS,
        )
        self.feature_cache_tile_hits = self._counter(
            "feature_cache_tile_hits_total",
            "Tiles of images looked up in the feature cache that did not have to be encoded.",
            WORKER_LABELS,
        )

        self.feature_folder_queries = self._counter(
            "feature_folder_queries_total",
            "Images looked up in the feature folder, because the feature cache had none.",
            WORKER_LABELS,
        )
        self.feature_folder_hits = self._counter(
            "feature_folder_hits_total",
            "Images whose features were in the folder, so that no tile was encoded.",
            WORKER_LABELS,
        )
        self.feature_folder_errors = self._counter(
            "feature_folder_errors_total",
            "Files of the feature folder that failed to be read, written or removed.",
            WORKER_LABELS,
        )

    def _declare_steps(self) -> None:
        self.step_seconds = self._histogram(
            "step_seconds",
            "Seconds of an engine step, by phase; other is planning and bookkeeping.",
            ("phase", *WORKER_LABELS),
        )
        self.decode_stall_seconds = self._histogram(
            "decode_stall_seconds",
            "Seconds per step that running answers waited for the encoding and prefilling of others; "
            "PHEYE_STALL_S is the target.",
        )
        self.decode_batch_size = self._histogram(
            "decode_batch_size",
            "Batch size of a decode step: running answers that got a token together.",
            buckets=BATCHES,
        )
        self.tiles_per_encode = self._histogram(
            "tiles_per_encode",
            "Batch size of the vision encoder: image tiles encoded together in a step.",
            buckets=BATCHES,
        )
        self.encode_seconds = self._histogram(
            "encode_seconds", "Seconds a step spent in the vision encoder, if at all."
        )
        self.prefill_seconds = self._histogram("prefill_seconds", "Seconds a step spent reading prompts, if at all.")

    def declare_worker(self, labels: WorkerLabels, pid: Callable[[], int | None]) -> None:
        """Begin the series of a worker at zero, so that the first event is an increase.

        Args:
            labels: its number and its device.
            pid: of its process now, if there is one.
        """
        for metric in self._of_each():
            metric.labels(*labels)
        for phase in PHASES:
            self.step_seconds.labels(phase, *labels)
        self.worker_cpu_seconds.watch(labels, pid)
        self.worker_resident_memory_bytes.watch(labels, pid)

    def forget_worker(self, labels: WorkerLabels) -> None:
        """End the series of a worker."""
        for metric in self._of_each():
            metric.remove(*labels)
        for phase in PHASES:
            self.step_seconds.remove(phase, *labels)
        self.worker_cpu_seconds.forget(labels)
        self.worker_resident_memory_bytes.forget(labels)

    def _of_each(self) -> Iterable[Counter | Gauge]:
        return (
            self.worker_restarts, self.prompt_tokens, self.generated_tokens, self.encoded_tiles,
            self.feature_cache_queries, self.feature_cache_hits, self.feature_cache_tile_hits,
            self.requests_running, self.slots, self.slots_used, self.slots_used_ratio, self.feature_cache_bytes,
            self.feature_folder_queries, self.feature_folder_hits, self.feature_folder_errors,
            self.feature_folder_bytes,
        )  # fmt: skip

    def show_worker(self, labels: WorkerLabels, running: int, slots: int, latest: StepReport) -> None:
        """Set the gauges of a worker.

        Args:
            labels: its number and its device.
            running: answers that hold a slot.
            slots: it has; 0 while it is not ready.
            latest: report of its latest step.
        """
        self.requests_running.labels(*labels).set(running)
        self.slots.labels(*labels).set(slots)
        self.slots_used.labels(*labels).set(latest.slots_used)
        self.slots_used_ratio.labels(*labels).set(latest.slots_used / slots if slots else 0.0)
        self.feature_cache_bytes.labels(*labels).set(latest.cache_bytes)
        self.feature_folder_bytes.labels(*labels).set(latest.folder.size_bytes)

    def record_step(self, report: StepReport, labels: WorkerLabels) -> None:
        """Count what one engine step of a worker did. The gauges are the queue's, which knows all workers."""
        for counter, count in (
            (self.prompt_tokens, report.prompt_tokens),
            (self.generated_tokens, report.generated_tokens),
            (self.encoded_tiles, report.encoded_tiles),
            (self.feature_cache_queries, report.cache_queries),
            (self.feature_cache_hits, report.cache_hits),
            (self.feature_cache_tile_hits, report.cached_tiles),
            (self.feature_folder_queries, report.folder.hits + report.folder.misses),
            (self.feature_folder_hits, report.folder.hits),
            (self.feature_folder_errors, report.folder.errors),
        ):
            if count:  # of most steps few are
                counter.labels(*labels).inc(count)
        if report.encoded_tiles:
            self.encode_seconds.observe(report.encode_s)
            self.tiles_per_encode.observe(report.encoded_tiles)
        if report.prefill_rows:
            self.prefill_seconds.observe(report.prefill_s)
        if report.decode_rows:
            self.decode_batch_size.observe(report.decode_rows)
            self.decode_stall_seconds.observe(report.stall_s)
        self._record_phases(report, labels)

    def _record_phases(self, report: StepReport, labels: WorkerLabels) -> None:
        spent = {"encode": report.encode_s, "prefill": report.prefill_s, "decode": report.decode_s}
        for phase, seconds in spent.items():
            if seconds > 0.0:  # 0.0 says that the step had no such phase
                self.step_seconds.labels(phase, *labels).observe(seconds)
        self.step_seconds.labels("other", *labels).observe(max(0.0, report.step_s - sum(spent.values())))
