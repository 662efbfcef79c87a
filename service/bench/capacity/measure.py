"""Measurement of this machine: a server in a process of its own, loads by `python -m loadtest`, and what both counted.

Loads run in turns, again and again, so that a machine that slows down for a while slows all of them. One thread.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from model.complexity import feature_bytes
from model.config import PheyeConfig
from service.bench.capacity.costs import LoadCounts, MachineModel, fit_costs
from service.bench.gpu.part import ROOT, child_environment
from service.bench.gpu.server import LoadedServer
from service.configuration.settings import Settings

START_S, LOAD_S = 600.0, 900.0
HOT_IMAGES = 4
CACHE_BYTES = 1 << 30  # of features, where the settings leave it open
FORWARDED = (
    "model", "revision", "devices", "dtype", "threads", "slots", "stall_s", "max_waiting", "decoders",
    "feature_cache_bytes",
)  # fmt: skip
_COUNTS = {
    "tiles": "pheye_tiles_per_encode_sum",
    "decode_rows": "pheye_decode_batch_size_sum",
    "answers": "pheye_queue_seconds_count",
    "tokens": "pheye_generated_tokens_total",
}
_PHASES = {"encode": "encode_steps", "prefill": "prefill_steps", "decode": "decode_steps", "other": "steps"}


@dataclass(frozen=True, slots=True)
class PlannedLoad:
    """A load on one server.

    Attributes:
        requests: how many.
        hits: share of the requests about an image seen before.
        clients: of a closed loop; 0 for an open one.
        rate_per_s: of an open loop, in arrivals.
    """

    requests: int
    hits: float
    clients: int = 0
    rate_per_s: float = 0.0

    @property
    def words(self) -> str:
        """The load for people."""
        who = f"{self.clients} clients" if self.clients else f"{self.rate_per_s:.3g} arrivals/s"
        return f"{who}, {100 * self.hits:.0f}% hits"

    def flags(self) -> list[str]:
        """Return the load as flags of `python -m loadtest run`."""
        loop = ["--clients", str(self.clients)] if self.clients else ["--rate", f"{self.rate_per_s:.4f}"]
        sizes = {"requests": self.requests, "per-client": 1, "hits": self.hits, "hot-images": HOT_IMAGES, "warm-up": 2}
        return [*loop, *(word for name, value in sizes.items() for word in (f"--{name}", str(value)))]


# Every cost shows in one of them: a single client and a full batch, with and without images to encode.
CALIBRATION = (PlannedLoad(24, 1.0, 1), PlannedLoad(20, 0.0, 1), PlannedLoad(96, 1.0, 12), PlannedLoad(48, 0.0, 12))


@dataclass(frozen=True, slots=True)
class LoadOutcome:
    """The outcome of one load: its seed, what the load test saw, and what the server counted, the warm-up included."""

    seed: int
    summary: Mapping[str, Any]
    counts: LoadCounts


class MeasuredServer:
    """A running server under measurement.

    Args:
        url: of the server.
        tiles: of an image.
    """

    def __init__(self, url: str, tiles: int) -> None:
        self.url = url
        self._tiles = tiles
        self._seed = 0

    def load(self, planned: PlannedLoad, tokens: int) -> LoadOutcome:
        """Send a load and count; images are new ones each time.

        Raises:
            RuntimeError: the load test gave no result, or requests were lost.
        """
        self._seed += 1
        before = self._counters()
        summary = run_loadtest(self.url, planned, tokens, self._seed)
        after = self._counters()
        if summary["failed"]:
            raise RuntimeError(f"{planned.words}: requests were lost: {summary['failed']} {summary['failure']}")
        spent = defaultdict(float, {name: after[name] - before.get(name, 0.0) for name in after})
        return LoadOutcome(self._seed, summary, _counted(summary, planned, spent, self._tiles))

    def _counters(self) -> dict[str, float]:
        text = httpx.get(f"{self.url}/metrics", timeout=30.0, trust_env=False).raise_for_status().text
        samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
        found: dict[str, float] = defaultdict(float)
        for name, sample in _COUNTS.items():
            found[name] = sum(each.value for each in samples if each.name == sample)
        for phase, steps in _PHASES.items():
            own = [each for each in samples if each.labels.get("phase") == phase]
            found[f"{phase}_s"] = sum(each.value for each in own if each.name == "pheye_step_seconds_sum")
            found[steps] = sum(each.value for each in own if each.name == "pheye_step_seconds_count")
        return found


def _counted(summary: Mapping[str, Any], planned: PlannedLoad, spent: Mapping[str, float], tiles: int) -> LoadCounts:
    outside_s = summary["latency_s"]["mean"] - summary["engine_s_per_answer"]
    return LoadCounts(
        clients=planned.clients,
        outside_s=max(0.0, outside_s),
        new_images=spent["tiles"] / tiles,
        **{name: spent[name] for name in (*_COUNTS, *_PHASES.values(), *(f"{phase}_s" for phase in _PHASES))},
    )


def run_loadtest(url: str, planned: PlannedLoad, tokens: int, seed: int) -> dict[str, Any]:
    """Run one load in a process of its own, and return its summary.

    Raises:
        RuntimeError: there is no result; the message is what the program said.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / "results.json"
        words = ["run", "--server", f"server={url}", "--max-tokens", str(tokens), "--seed", str(seed)]
        done = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", "loadtest", *words, *planned.flags(), "--json", str(file)],
            capture_output=True, text=True, cwd=ROOT, env=child_environment(), check=False, timeout=LOAD_S,
        )  # fmt: skip
        if not file.exists():
            raise RuntimeError(f"loadtest ended with {done.returncode}: {done.stderr[-300:]}")
        found = json.loads(file.read_text(encoding="utf-8"))
    summary: dict[str, Any] = found["points"][0]["summary"]
    return summary


@contextmanager
def running_service(settings: Settings) -> Iterator[str]:
    """Run the service on a free port of this machine, and end it; yields its URL.

    Raises:
        ServerLost: it does not become ready.
    """
    flags = []
    for name in FORWARDED:
        value = getattr(settings, name)
        if value is not None:
            flags += [f"--{name.replace('_', '-')}", str(value)]
    with TemporaryDirectory() as folder, (Path(folder) / "log").open("wb") as log:
        server = LoadedServer(log, Path(folder) / "server.log")
        try:
            server.start("service", ["serve", "--port", "0", *flags], START_S)
            yield server.url
        finally:
            server.stop()


def measured_machine(settings: Settings, config: PheyeConfig, url: str, counts: Sequence[LoadCounts]) -> MachineModel:
    """Describe this machine by the loads that were counted on it, and by what its server says of itself."""
    card = httpx.get(f"{url}/readyz", timeout=30.0, trust_env=False).raise_for_status().json()
    cache_bytes = CACHE_BYTES if settings.feature_cache_bytes is None else settings.feature_cache_bytes
    return MachineModel(
        costs=fit_costs(counts),
        tiles=config.tiles,
        slots=card["slots"],
        stall_s=settings.stall_s,
        max_waiting=settings.max_waiting,
        decoders=settings.decoders,
        cached_images=cache_bytes // feature_bytes(config, card["dtype"]),
        workers=len(settings.devices.split(",")),
    )


def in_turns(
    server: MeasuredServer, loads: Sequence[PlannedLoad], repeats: int, tokens: int, tell: Callable[[str], None]
) -> list[list[LoadOutcome]]:
    """Run each load in turn, so many times, and return the outcomes of each."""
    outcomes: list[list[LoadOutcome]] = [[] for _ in loads]
    for repeat in range(repeats):
        for load, found in zip(loads, outcomes, strict=True):
            found.append(server.load(load, tokens))
            told = found[-1].summary
            tell(
                f"turn {repeat + 1}: {load.words}: {told['answers_per_s']:.3g} answers/s, p50 "
                f"{told['latency_s']['p50']:.3g} s"
            )
    return outcomes
