"""Prometheus metrics of the service, in one registry that belongs to one `Metrics` object.

Owns names, units, help texts and labels of what is not a worker's. Knows neither who measures nor who scrapes. Used on
the API process's event loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from service.errors import FetchOutcome
from service.messages.from_worker import ModelCard
from service.metrics.registry import SECONDS, MetricRow
from service.metrics.worker_metrics import WorkerMetrics

DROP_REASONS = ("full", "rate", "concurrency", "loading", "draining", "deadline", "disconnect", "poison", "refused")
FOLDER_FAILURES = ("failed", "slow", "damaged")
KILL_REASONS = ("timeout", "hung", "cancelled", "memory", "killed", "crash")
FETCH_OUTCOMES = get_args(FetchOutcome)
CLOSED_REASONS = ("head", "leftover", "stalled", "evicted", "full", "malformed")
MOST_KEYS = 100  # names of keys that have series of their own; a file of keys may be replaced again and again
OTHER_KEYS = "(others)"


SPAN_OUTCOMES = ("exported", "failed", "dropped")


class Metrics(WorkerMetrics):
    """All metrics, one attribute for each, named without `pheye_` and, for counters, `_total`."""

    def __init__(self) -> None:
        """Declare all metrics at zero, in a registry of their own."""
        super().__init__()
        self._key_names: set[str] = set()
        self._declare_requests()
        self._declare_connections()
        self._declare_faults()
        self._declare_fetches()
        self._declare_state()
        self._declare_gpus()
        self._declare_build()
        self._declare_times()

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

        self.requests_rejected = self._counter(
            "requests_rejected_total",
            "Requests answered with an error, by reason (the end of the problem's type, or its title) and by the name "
            "of the API key in the file of keys; empty without one, (others) beyond a hundred names.",
            ("reason", "key"),
        )
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

    def _declare_faults(self) -> None:
        self.request_replays = self._counter(
            "request_replays_total", "Answers replayed on a new worker after theirs died."
        )
        self.spans = self._counter(
            "spans_total",
            "Spans of traces: exported, failed (no collector, or it refused them), dropped (too many waited).",
            ("outcome",),
        )
        for outcome in SPAN_OUTCOMES:
            self.spans.labels(outcome)
        self.request_preemptions = self._counter(
            "request_preemptions_total",
            "Slots that a running answer gave up to a client below its fair share; the answer goes on later.",
        )

        self.decoder_cpu_seconds = self._counter(
            "decoder_cpu_seconds_total",
            "Seconds of CPU time that decoder processes have taken, until each of them was given its latest image.",
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
        self.decoders = self._gauge("decoders", "Decoder processes at most, PHEYE_DECODERS.")
        self.decoders_busy = self._gauge(
            "decoders_busy", "Decoder processes that have an image; PHEYE_DECODERS is the bound."
        )
        self.decodes_waiting = self._gauge("decodes_waiting", "Images that wait for a decoder process.")
        self.image_store_bytes = self._gauge(
            "image_store_bytes",
            "Bytes of uploaded images kept to be named by id; PHEYE_IMAGE_STORE_BYTES is the bound.",
        )
        self.image_store_images = self._gauge("image_store_images", "Uploaded images kept to be named by id.")
        self._declare_image_folder()
        self.event_loop_tasks = self._gauge(
            "event_loop_tasks",
            "Tasks of the API process's event loop; back to a constant when no request is under way.",
        )
        self.keys_file_valid = self._gauge(
            "keys_file_valid",
            "1 if the files of API keys were right when they were read last, or there are none; 0 if a change was "
            "refused or the files cannot be looked at, and the keys before go on.",
        )

    def _declare_image_folder(self) -> None:
        self.image_folder_bytes = self._gauge(
            "image_folder_bytes",
            "Bytes of all files in the folder of uploaded images, as this server counted them last; "
            "PHEYE_IMAGE_FOLDER_BYTES is the bound.",
        )
        self.image_folder_images = self._gauge(
            "image_folder_images", "Images in the folder of uploaded images, as this server counted them last."
        )
        self.image_folder_errors = self._counter(
            "image_folder_errors_total",
            "Operations on the folder of uploaded images that failed: failed (the file system said no), slow (no "
            "answer in time), damaged (a file that is not what it should be).",
            ("reason",),
        )
        for reason in FOLDER_FAILURES:
            self.image_folder_errors.labels(reason)

    def _declare_build(self) -> None:
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
        self.gpu_memory_bytes = self._gauge("gpu_memory_bytes", "Bytes of memory that a GPU has.", ("device",))
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
        self.queue_seconds = self._histogram(
            "queue_seconds", "Seconds an answer waited, for a worker or in its queue, less the encoding of its image."
        )
        self.preprocess_seconds = self._histogram(
            "preprocess_seconds", "Seconds to decode and tile an image, waiting for a decoder included."
        )
        self.time_to_first_token_seconds = self._histogram(
            "time_to_first_token_seconds", "Seconds from acceptance to an answer's first token (TTFT)."
        )
        self.time_per_output_token_seconds = self._histogram(
            "time_per_output_token_seconds",
            "Mean seconds between an answer's tokens after its first (TPOT).",
            buckets=(0.001, 0.0025, *SECONDS[:10]),
        )

    def count_rejected(self, reason: str, key_name: str) -> None:
        """Count a request that was answered with an error.

        Args:
            reason: one of few: the kind of the error.
            key_name: what the file of keys calls its client, if anything.
        """
        if len(self._key_names) < MOST_KEYS:
            self._key_names.add(key_name)
        self.requests_rejected.labels(reason, key_name if key_name in self._key_names else OTHER_KEYS).inc()

    def describe_build(self, version: str, card: ModelCard | None) -> None:
        """Set `build_info`; the model's labels are empty while it loads."""
        self.build_info.clear()
        model = (card.name, card.device, card.dtype) if card else ("", "", "")
        self.build_info.labels(version, *model).set(1)


def metric_rows() -> Iterator[MetricRow]:
    """List every metric, in order, for the generated table.

    >>> "pheye_requests_total" in {row.name for row in metric_rows()}
    True
    """
    yield from Metrics().rows
