"""Prometheus metrics of the service, in one registry that belongs to one `Metrics` object.

Owns names, units, help texts and buckets, and how a worker's step report becomes counts. Knows neither who measures nor
who scrapes. Used on the API process's event loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from service.errors import FetchOutcome
from service.messages import ModelCard, StepReport

PREFIX = "pheye_"
DROP_REASONS = ("full", "rate", "concurrency", "loading", "draining", "deadline", "disconnect", "poison", "refused")
KILL_REASONS = ("timeout", "hung", "cancelled", "memory", "killed", "crash")
FETCH_OUTCOMES = get_args(FetchOutcome)
CLOSED_REASONS = ("head", "leftover", "stalled", "evicted", "full", "malformed")
PHASES = ("encode", "prefill", "decode", "other")
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


@dataclass(frozen=True, slots=True)
class MetricRow:
    """A line of the table of metrics in `docs/monitoring.md`."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str


class Metrics:
    """All metrics, one attribute for each, named without `pheye_` and, for counters, `_total`."""

    def __init__(self) -> None:
        """Declare all metrics at zero, in a registry of their own."""
        # Without this, the text format shows the creation time of each metric as a gauge of its own.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self.rows: list[MetricRow] = []
        self._declare_requests()
        self._declare_connections()
        self._declare_work()
        self._declare_faults()
        self._declare_fetches()
        self._declare_state()
        self._declare_times()
        self._declare_steps()

    def _declare_requests(self) -> None:
        self.requests = self._counter(
            "requests_total",
            "HTTP requests answered, by route and status; 499: the client hung up first.",
            ("endpoint", "status"),
        )
        self.requests_dropped = self._counter(
            "requests_dropped_total",
            "Requests not answered: full (waiting queue full), rate and concurrency (a client's own limit), all 429; "
            "loading and draining (503), deadline (504), disconnect (the client left), poison (workers kept dying of "
            "it), refused (not possible as asked).",
            ("reason",),
        )
        for reason in DROP_REASONS:
            self.requests_dropped.labels(reason)

        self.answers_outside = self._counter(
            "answers_outside_total",
            "Answers which say that the image is outside what the model knows (the warning outside_known_world), by "
            "route: many of them call for another checkpoint.",
            ("endpoint",),
        )

    def _declare_connections(self) -> None:
        self.connections_open = self._gauge(
            "connections_open", "Open TCP connections; PHEYE_MAX_CONNECTIONS is the bound."
        )
        self.connections_closed = self._counter(
            "connections_closed_total",
            "Connections closed by the server for what the client did: head (no request head in time), leftover (its "
            "body went on after the answer), stalled (took too little of an answer), evicted (made room at the bound), "
            "full (refused at the bound), malformed (not HTTP/1.1, or ambiguous).",
            ("reason",),
        )
        for reason in CLOSED_REASONS:
            self.connections_closed.labels(reason)

    def _declare_work(self) -> None:
        self.prompt_tokens = self._counter("prompt_tokens_total", "Prompt tokens prefilled, image not included.")
        self.generated_tokens = self._counter("generated_tokens_total", "Tokens generated.")
        self.encoded_tiles = self._counter(
            "encoded_tiles_total", "Image tiles that went through the vision encoder; cache hits add none."
        )
        self.feature_cache_queries = self._counter(
            "feature_cache_queries_total", "Images looked up in the feature cache."
        )
        self.feature_cache_hits = self._counter(
            "feature_cache_hits_total", "Images whose features were in the cache, so that no tile was encoded."
        )

    def _declare_faults(self) -> None:
        self.worker_restarts = self._counter(
            "worker_restarts_total", "Worker processes replaced because they died or made no progress; should stay 0."
        )
        self.request_replays = self._counter(
            "request_replays_total", "Answers replayed on a new worker after theirs died."
        )
        self.request_preemptions = self._counter(
            "request_preemptions_total",
            "Slots that a running answer gave up to a client below its fair share; the answer goes on later.",
        )

        self.decoders_killed = self._counter(
            "decoders_killed_total",
            "Decoder processes that did not end of themselves: timeout (decoding took too long), hung (stopped, or "
            "without computing time), cancelled (the client left or the deadline passed), memory (decoding needed too "
            "much), killed (from outside), crash.",
            ("reason",),
        )
        for reason in KILL_REASONS:
            self.decoders_killed.labels(reason)

    def _declare_fetches(self) -> None:
        self.image_fetches = self._counter(
            "image_fetches_total",
            "Images asked for by URL: fetched, refused (URL, host, port or address not allowed), unreachable (no such "
            "host, no connection, TLS), failed (another answer than an image's), no_image (by its first bytes), "
            "too_large, timeout, full (its client holds too much memory), cancelled (the client left or the deadline "
            "passed).",
            ("outcome",),
        )
        for outcome in FETCH_OUTCOMES:
            self.image_fetches.labels(outcome)
        self.image_fetches_running = self._gauge(
            "image_fetches_running", "Images that are being fetched; PHEYE_IMAGE_FETCHES is the bound."
        )
        self.image_fetch_seconds = self._histogram(
            "image_fetch_seconds", "Seconds to fetch an image, or to find that there is none, waiting not included."
        )

    def _declare_state(self) -> None:
        self.requests_waiting = self._gauge(
            "requests_waiting", "Answers in the waiting queue: accepted, but without a slot."
        )
        self.requests_running = self._gauge("requests_running", "Answers that hold a slot and are being generated.")
        self.slots = self._gauge("slots", "Answers all workers together can generate at the same time.")
        self.slots_used = self._gauge("slots_used", "Slots in use in the latest step, all workers together.")
        self.feature_cache_bytes = self._gauge("feature_cache_bytes", "Bytes of image features kept by all workers.")
        self.decoders_busy = self._gauge(
            "decoders_busy", "Decoder processes that have an image; PHEYE_DECODERS is the bound."
        )
        self.decodes_waiting = self._gauge("decodes_waiting", "Images that wait for a decoder process.")
        self.image_store_bytes = self._gauge(
            "image_store_bytes",
            "Bytes of uploaded images kept to be named by id; PHEYE_IMAGE_STORE_BYTES is the bound.",
        )
        self.image_store_images = self._gauge("image_store_images", "Uploaded images kept to be named by id.")
        self.event_loop_tasks = self._gauge(
            "event_loop_tasks",
            "Tasks of the API process's event loop; back to a constant when no request is under way.",
        )
        self._declare_gpus()
        self.keys_file_valid = self._gauge(
            "keys_file_valid",
            "1 if the files of API keys were right when they were read last, or there are none; 0 if a change was "
            "refused, and the keys before it go on.",
        )
        self.ready = self._gauge(
            "ready", "Readiness: 1 if new requests are accepted, 0 while loading, draining or without a worker."
        )
        self.build_info = self._gauge(
            "build_info",
            "Always 1; the labels name the software and the loaded model.",
            ("version", "model", "device", "dtype"),
        )

    def _declare_gpus(self) -> None:
        self.gpu_memory_used_bytes = self._gauge(
            "gpu_memory_used_bytes",
            "Bytes of a GPU's memory in use, by whatever process; needs a GPU and the package nvidia-ml-py.",
            ("device",),
        )
        self.gpu_utilization_ratio = self._gauge(
            "gpu_utilization_ratio", "Share of the last moments in which a GPU ran anything, 0 to 1.", ("device",)
        )
        self.gpu_temperature_celsius = self._gauge(
            "gpu_temperature_celsius", "Temperature of a GPU, in degrees Celsius.", ("device",)
        )

    def _declare_times(self) -> None:
        self.request_seconds = self._histogram(
            "request_seconds", "Seconds from a request's arrival to the end of its answer.", ("endpoint",)
        )
        self.queue_seconds = self._histogram("queue_seconds", "Seconds an answer spent in the waiting queue.")
        self.preprocess_seconds = self._histogram(
            "preprocess_seconds", "Seconds to decode and tile an image, waiting for a decoder included."
        )
        self.encode_seconds = self._histogram(
            "encode_seconds", "Seconds a step spent in the vision encoder, if at all."
        )
        self.prefill_seconds = self._histogram("prefill_seconds", "Seconds a step spent reading prompts, if at all.")
        self.time_to_first_token_seconds = self._histogram(
            "time_to_first_token_seconds", "Seconds from acceptance to an answer's first token (TTFT)."
        )
        self.time_per_output_token_seconds = self._histogram(
            "time_per_output_token_seconds",
            "Mean seconds between an answer's tokens after its first (TPOT).",
            buckets=(0.001, 0.0025, *SECONDS[:10]),
        )

    def _declare_steps(self) -> None:
        self.step_seconds = self._histogram(
            "step_seconds", "Seconds of an engine step, by phase; other is planning and bookkeeping.", ("phase",)
        )
        for phase in PHASES:
            self.step_seconds.labels(phase)
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

    def _describe(self, kind: str, name: str, text: str, labels: Iterable[str]) -> None:
        self.rows.append(MetricRow(PREFIX + name, kind, tuple(labels), text))

    def record_step(self, report: StepReport) -> None:
        """Count what one engine step did. The gauges are the queue's, which knows all workers."""
        self.prompt_tokens.inc(report.prompt_tokens)
        self.generated_tokens.inc(report.generated_tokens)
        self.encoded_tiles.inc(report.encoded_tiles)
        self.feature_cache_queries.inc(report.cache_queries)
        self.feature_cache_hits.inc(report.cache_hits)
        if report.encoded_tiles:
            self.encode_seconds.observe(report.encode_s)
            self.tiles_per_encode.observe(report.encoded_tiles)
        if report.prefill_rows:
            self.prefill_seconds.observe(report.prefill_s)
        if report.decode_rows:
            self.decode_batch_size.observe(report.decode_rows)
            self.decode_stall_seconds.observe(report.stall_s)
        self._record_phases(report)

    def _record_phases(self, report: StepReport) -> None:
        spent = {"encode": report.encode_s, "prefill": report.prefill_s, "decode": report.decode_s}
        for phase, seconds in spent.items():
            if seconds > 0.0:  # 0.0 says that the step had no such phase
                self.step_seconds.labels(phase).observe(seconds)
        self.step_seconds.labels("other").observe(max(0.0, report.step_s - sum(spent.values())))

    def describe_build(self, version: str, card: ModelCard | None) -> None:
        """Set `build_info`; the model's labels are empty while it loads."""
        self.build_info.clear()
        model = (card.name, card.device, card.dtype) if card else ("", "", "")
        self.build_info.labels(version, *model).set(1)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Render all metrics for an `Accept` header: OpenMetrics if it asks for that, else Prometheus' text format.

        Returns:
            The text, and its content type.
        """
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is no number
            encode, content_type = choose_encoder("")
        return encode(self._registry), content_type


def metric_rows() -> Iterator[MetricRow]:
    """List every metric, in order, for the generated table.

    >>> next(metric_rows()).name
    'pheye_requests_total'
    """
    yield from Metrics().rows
