"""Profile of a step: its kernels by device time, beside the wall time that they leave unexplained.

One thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from model.bench.gpu.item import Data, Item, PartInput
from model.bench.gpu.rows import Rows
from model.bench.gpu.variants import EAGER, VARIANTS, DecodeVariant, new_runner
from model.checkpoint.checkpoint import open_checkpoint
from model.runtime.hardware import choose_precision, resolve_device

ROWS, IMAGES = (1, 32), 8
SHOWN = 15
NAME_CHARS = 120
WARM = 3


def items(given: PartInput) -> Iterator[Item]:
    """List steps of the first model in every variant, then an encoding."""
    bench = _Profiled(given)
    for variant in VARIANTS:
        for rows in ROWS if bench.device.type == "cuda" else ROWS[:1]:
            yield Item(f"decode {variant.name} {rows}", partial(bench.decode, variant, rows), 60.0)
    yield Item(f"encode {IMAGES}", bench.encode, 60.0)


class _Profiled:
    """Profiler of one model, with one runner at a time."""

    def __init__(self, given: PartInput) -> None:
        self.device = resolve_device(given.device)
        self._source = given.models[0]
        self._runner: tuple[DecodeVariant, Rows] | None = None

    def _rows(self, variant: DecodeVariant) -> Rows:
        if self._runner is None or self._runner[0] != variant:
            self._runner = None
            checkpoint = open_checkpoint(self._source, device=self.device)
            dtype = choose_precision("auto", self.device, checkpoint.config).dtype
            runner = new_runner(checkpoint, self.device, dtype, variant, slots=max(ROWS), context_tokens=192)
            self._runner = variant, Rows(runner)
        return self._runner[1]

    def decode(self, variant: DecodeVariant, rows: int) -> Data:
        """Profile one decode step of so many rows."""
        running = self._rows(variant)
        running.fill(
            [running.image(number) for number in range(rows)], [running.prompt(number) for number in range(rows)]
        )
        try:
            return self._profiled(running.step)
        finally:
            running.free()

    def encode(self) -> Data:
        """Profile encoding some images in one call."""
        running = self._rows(EAGER)
        return self._profiled(lambda: running.encode([running.image() for _ in range(IMAGES)]))

    def _profiled(self, once: Callable[[], object]) -> Data:
        """Profile one call after warm-up calls; the wall time is of a call without the profiler."""
        for _ in range(WARM):
            once()
        self._settle()
        start = time.perf_counter()
        once()
        self._settle()
        wall_s = time.perf_counter() - start
        cuda = self.device.type == "cuda"
        activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA] if cuda else [ProfilerActivity.CPU]
        with profile(activities=activities) as recorded:
            once()
            self._settle()
        return {"wall_ms": 1e3 * wall_s, **(_kernels(recorded) if cuda else _operations(recorded))}

    def _settle(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _kernels(recorded: Any) -> dict[str, Any]:
    """Return kernels that ran on the device, by name."""
    spent: dict[str, list[float]] = {}
    for event in recorded.events():
        if "CUDA" in str(event.device_type) and not event.name.startswith(("Activity Buffer", "ProfilerStep")):
            spent.setdefault(event.name, []).append(event.time_range.elapsed_us() / 1e3)
    return _told({name: (len(times), sum(times)) for name, times in spent.items()})


def _operations(recorded: Any) -> dict[str, Any]:
    """Return operators in place of kernels, for a CPU."""
    return _told({each.key: (each.count, each.self_cpu_time_total / 1e3) for each in recorded.key_averages()})


def _told(spent: dict[str, tuple[int, float]]) -> dict[str, Any]:
    longest = sorted(spent.items(), key=lambda item: -item[1][1])[:SHOWN]
    return {
        "launches": sum(calls for calls, _ in spent.values()),
        "device_ms": sum(took for _, took in spent.values()),
        "kernels": [{"name": name[:NAME_CHARS], "calls": calls, "device_ms": took} for name, (calls, took) in longest],
    }
