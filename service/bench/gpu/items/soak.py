"""A soak: a minute of mixed load at a steady rate, to see whether memory grows, of processes or of the card.

Linux, where a process tells what it holds. One thread beside the sampler's.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from model.bench.gpu.item import Data, Item, PartInput
from service.bench.gpu.items.kill import worker_of
from service.bench.gpu.items.load import loadtest

RATE_PER_S, LONGEST_S, SHORTEST_S, RESERVE_S = 12.0, 60.0, 6.0, 6.0
SAMPLE_S = 1.0
SETTLED = 0.33  # of the samples are left out: the first requests fill caches
PAGE_BYTES = 4096


def items(given: PartInput) -> Iterator[Item]:
    """List one measurement: a single load, as long as there is time for."""
    seconds = min(LONGEST_S, max(SHORTEST_S, given.seconds - RESERVE_S))
    yield Item("soak", lambda: soak(given, seconds), seconds + 60.0)


def soak(given: PartInput, seconds: float) -> Data:
    """Ask for captions and answers, streamed, half of them about known images, at a rate that does not wait."""
    rate = RATE_PER_S if given.device == "cuda" else 2.0
    pids = {"service": given.pid, "worker": worker_of(given.pid)}
    watched: dict[str, Callable[[], float | None]]
    watched = {name: partial(_resident_bytes, pid) for name, pid in pids.items()}
    if given.device == "cuda":
        watched["gpu"] = _gpu_bytes
    words = ["--rate", str(rate), "--requests", str(int(rate * seconds)), "--hits", "0.5", "--stream"]
    words += ["--captions", "0.5", "--questions", "2", "--size", "320x240"]
    with _Sampler(watched) as sampler:
        summary = loadtest(given.url, words, seed="7", wait_s=seconds + 50.0)
    memory = {name: _trend(samples) for name, samples in sampler.samples.items() if samples}
    return {
        "verdict": "passed" if not summary["lost"] else "failed",
        "seconds": seconds,
        "rate_per_s": rate,
        "memory": memory,
        "samples": {name: [[round(at, 1), held] for at, held in samples] for name, samples in sampler.samples.items()},
        **{name: summary[name] for name in ("requests", "answered", "refused", "lost", "failed", "failure")},
        **{name: summary[name] for name in ("latency_s", "first_token_s", "per_token_s", "tokens_per_s")},
    }


class _Sampler:
    """A thread that samples memory regularly, until it is left."""

    def __init__(self, watched: dict[str, Callable[[], float | None]]) -> None:
        self._watched = watched
        self.samples: dict[str, list[tuple[float, float]]] = {name: [] for name in watched}
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> _Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join()

    def _run(self) -> None:
        start_s = time.monotonic()
        while not self._left.wait(SAMPLE_S):
            for name, ask in self._watched.items():
                held = ask()
                if held is not None:
                    self.samples[name].append((time.monotonic() - start_s, held))


def _trend(samples: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Return the most bytes, and the growth a minute, once memory has settled."""
    settled = samples[int(SETTLED * len(samples)) :]
    slope = statistics.linear_regression(*zip(*settled, strict=True)).slope if len(settled) > 2 else 0.0
    return {"most_bytes": max(held for _, held in samples), "bytes_per_minute": 60.0 * slope}


def _resident_bytes(pid: int) -> float | None:
    try:
        return float(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES
    except OSError:
        return None  # it has ended


def _gpu_bytes() -> float | None:
    """Return the bytes that all processes hold on the first card."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    asked = [tool, "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
    told = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=10)  # noqa: S603 - no user text
    try:
        return float(told.stdout.split()[0]) * 1024**2
    except (IndexError, ValueError):
        return None
