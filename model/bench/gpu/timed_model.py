"""Model whose speed is measured: weights on the device, rows of one variant at a time, and a clock for each turn.

Weights are loaded and rates measured when they are first asked for. Knows no item and no kind of step. One thread.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence

import torch

from model.bench.gpu.card import rates
from model.bench.gpu.item import PartInput
from model.bench.gpu.rows import Rows
from model.bench.gpu.variants import DecodeVariant, new_runner
from model.bench.halves import Twin, load_twin
from model.bench.roofline.ceilings import Ceilings
from model.bench.roofline.floors import PassCosts
from model.checkpoint.checkpoint import open_checkpoint
from model.runtime.hardware import choose_precision, resolve_device

CONTEXT_TOKENS = 192
FEATURE_CACHE_BYTES = 4 << 30
REPEATS = 5


class TimedModel:
    """Model under measurement, with one runner at a time, since each has slots of gigabytes.

    Args:
        given: device, models and perhaps rates of the run; the first model is taken.
        most_rows: slots of every runner.
    """

    def __init__(self, given: PartInput, most_rows: int) -> None:
        self.device = resolve_device(given.device)
        self._checkpoint = open_checkpoint(given.models[0], device=self.device)
        self.config = self._checkpoint.config
        self.precision = choose_precision("auto", self.device, self.config)
        self.costs = PassCosts(self.config, self.precision.name)
        self._given, self._most_rows = given, most_rows
        self._twin: Twin | None = None
        self._rows: tuple[DecodeVariant, Rows] | None = None
        self._ceilings: Ceilings | None = None

    @property
    def twin(self) -> Twin:
        """Naive twin on the tensors of the fast path, which are loaded on first use."""
        if self._twin is None:
            self._twin = load_twin(self._checkpoint, self.device, self.precision.dtype)
        return self._twin

    @property
    def ceilings(self) -> Ceilings:
        """Peak rates that were given, or else measured on first use."""
        if self._ceilings is None:
            name = self.precision.name
            known = dict((self._given.rates or {}).get(name) or rates(self._given, name))
            peaks = known["bytes_per_s"], known["flops_per_s"]
            self._ceilings = Ceilings(self.config.name, name, *peaks, probes={})
        return self._ceilings

    def rows(self, variant: DecodeVariant) -> Rows:
        """Return rows of this variant, and drop another variant's first."""
        if self._rows is None or self._rows[0] != variant:
            self._rows = None
            gc.collect()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            sizes = {
                "slots": self._most_rows,
                "context_tokens": CONTEXT_TOKENS,
                "feature_cache_bytes": FEATURE_CACHE_BYTES,
            }
            runner = new_runner(self.twin.checkpoint, self.device, self.precision.dtype, variant, **sizes)
            self._rows = variant, Rows(runner)
        return self._rows[1]

    def repeated(
        self, once: Callable[[int], object], repeats: int = REPEATS, after: Callable[[], None] = lambda: None
    ) -> list[float]:
        """Time a call in several turns, in seconds; the first turn is not counted.

        Args:
            once: the work of turn 0, 1, ...
            repeats: turns that count.
            after: what to do after each turn, not timed.
        """
        took_s = []
        for turn in range(repeats + 1):
            self._settle()
            start = time.perf_counter()
            once(turn)
            self._settle()
            took_s.append(time.perf_counter() - start)
            after()
        return took_s[1:]

    def _settle(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def timed(once: Callable[[], object], calls: int, least_s: float) -> list[float]:
    """Time calls that end with their tokens on the host, in seconds; fewer calls if they are slow."""
    took_s: list[float] = []
    while len(took_s) < calls and (len(took_s) < 5 or sum(took_s) < least_s):
        start = time.perf_counter()
        once()
        took_s.append(time.perf_counter() - start)
    return took_s


def spread(took_s: Sequence[float]) -> dict[str, float]:
    """Summarise times: median, best and worst, in seconds."""
    return {"seconds": statistics.median(took_s), "best_s": min(took_s), "worst_s": max(took_s)}
