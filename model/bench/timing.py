"""Paired timing of two ways to do the same work, in turns on one clock.

A machine's noise lasts longer than one measurement, so the two sides take turns: what disturbs one turn disturbs both
halves of a pair, and each pair gives a ratio of its own. Knows no tensors; the clock, and what waits for a device, are
given. One thread.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

LEAST_SAMPLE_S = 0.05  # shorter work is done several times for one sample
SLOW_S = 1.0  # work whose first turn took so long is not tried again to see how long it takes warm
COUNTED_S = 5.0  # a baseline's first turn that took so long counts: what is set up lazily is little beside it
LONG_S = 8.0  # a baseline's turn that took so long may be taken fewer times: a moment's noise is little of it

Made = TypeVar("Made")
Lap = Callable[[], None]
Call = Callable[[Lap], Made]  # does the work once; calls its argument wherever a time is wanted besides the end's


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and quartiles of some measurements."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise some measurements; a single one is its own quartiles.

        >>> Spread.of([4.0, 1.0, 2.0, 3.0, 5.0])
        Spread(median=3.0, low=2.0, high=4.0)
        """
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)


@dataclass(frozen=True, slots=True)
class Race:
    """Both sides' seconds from the start to one mark of the work, and baseline over fast, pair by pair."""

    baseline_s: Spread
    fast_s: Spread
    ratio: Spread

    @classmethod
    def of(cls, baseline_s: Sequence[float], fast_s: Sequence[float]) -> Race:
        """Build a race from measurements in pairs."""
        ratios = [slow / fast for slow, fast in zip(baseline_s, fast_s, strict=True)]
        return cls(Spread.of(baseline_s), Spread.of(fast_s), Spread.of(ratios))


@dataclass(frozen=True, slots=True)
class Raced(Generic[Made]):
    """Results of both sides' first turn, and a race for each mark, that of the end last."""

    baseline: Made
    fast: Made
    races: tuple[Race, ...]


def _no_wait() -> None:
    """Do nothing: a CPU has done its work when a call returns."""


class Stopwatch:
    """Clock that waits for the device before it is read.

    Args:
        clock: seconds, monotonic.
        settle: returns when all work given to the device is done.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter, settle: Callable[[], None] = _no_wait) -> None:
        self._clock = clock
        self._settle = settle

    def once(self, call: Call[Made]) -> tuple[Made, list[float]]:
        """Run one call, and return its result and the seconds from its start to each lap and to its end."""
        self._settle()
        start = self._clock()
        marks: list[float] = []

        def lap() -> None:
            self._settle()
            marks.append(self._clock() - start)

        made = call(lap)
        lap()
        return made, marks

    def mean(self, call: Call[Made], calls: int) -> list[float]:
        """Return the mean seconds to each mark over some calls."""
        rounds = [self.once(call)[1] for _ in range(calls)]
        return [statistics.fmean(marks) for marks in zip(*rounds, strict=True)]

    def best(self, call: Call[object], repeats: int) -> float:
        """Return the seconds of the quickest of some calls, after one that is not counted."""
        self.once(call)
        return min(self.once(call)[1][-1] for _ in range(repeats))


def race(
    baseline: Call[Made], fast: Call[Made], repeats: int, watch: Stopwatch, long_repeats: int | None = None
) -> Raced[Made]:
    """Time both sides in turns, baseline first; the first turns count only where they take long.

    Args:
        baseline: slower side.
        fast: the other one.
        repeats: pairs of turns.
        watch: times them.
        long_repeats: pairs of turns where a turn of the baseline takes `LONG_S` or more; None for as many as otherwise.
    """
    made = (_warmed(baseline, watch), _warmed(fast, watch))
    first_s = made[0].marks[-1]
    pairs = [(made[0].marks, made[1].marks)] if first_s >= COUNTED_S else []
    wanted = repeats if long_repeats is None or first_s < LONG_S else long_repeats
    while len(pairs) < wanted:
        pairs.append((watch.mean(baseline, made[0].calls), watch.mean(fast, made[1].calls)))
    by_mark = zip(*(zip(*pair, strict=True) for pair in pairs), strict=True)
    races = tuple(Race.of([slow for slow, _ in mark], [quick for _, quick in mark]) for mark in by_mark)
    return Raced(made[0].made, made[1].made, races)


@dataclass(frozen=True, slots=True)
class _Warm(Generic[Made]):
    made: Made
    calls: int  # for one sample
    marks: list[float]


def _warmed(call: Call[Made], watch: Stopwatch) -> _Warm[Made]:
    made, marks = watch.once(call)
    if marks[-1] < SLOW_S:
        marks = watch.once(call)[1]  # the first call pays for what is set up lazily
    return _Warm(made, max(1, math.ceil(LEAST_SAMPLE_S / max(marks[-1], 1e-6))), marks)
