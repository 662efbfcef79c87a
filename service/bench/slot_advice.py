"""Advice on the number of slots, from measured steps: how many rows at a time still give more answers a second.

Pure: knows neither a model nor a clock. Any thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log2
from statistics import median

from model.bench.timing import Spread
from model.runtime.memory_plan import CPU_SLOTS

LEAST_GAIN = 1.10  # in answers a second, of twice the slots: they take twice the memory, and each token takes longer
LONGEST_STEP_S = 0.25  # with all slots in use: four tokens a second, about as fast as people read
ANSWER_TOKENS = 32


@dataclass(frozen=True, slots=True)
class RowTimes:
    """Measured times of one model on one machine; each list has one time a turn, and numbers of rows took turns.

    Attributes:
        prompt_s: seconds to read a prompt about an image whose features are known, alone.
        steps_s: seconds of a decode step, by number of rows, each about an image of its own.
    """

    prompt_s: float
    steps_s: Mapping[int, Sequence[float]]

    def answers_per_s(self, rows: int) -> list[float]:
        """Return the answers a second that so many slots give at most, about known images, in each turn."""
        return [1 / (self.prompt_s + (ANSWER_TOKENS - 1) * step_s / rows) for step_s in self.steps_s[rows]]

    def gain(self, rows: int, more: int) -> Spread:
        """Return how many times the answers a second there are with `more` rows, turn by turn."""
        return Spread.of([b / a for a, b in zip(self.answers_per_s(rows), self.answers_per_s(more), strict=True)])


@dataclass(frozen=True, slots=True)
class SlotAdvice:
    """Number of slots to set, and the reason in words."""

    slots: int
    reason: str


def advise(times: RowTimes, most: int) -> SlotAdvice:
    """Advise on the number of slots: the default, fewer if it is too many, more while that clearly pays.

    Where it is unclear whether more pay, they do not: three of four turns must say so.

    Args:
        times: of the numbers of rows to choose from.
        most: slots that there is memory for.
    """
    usual = max((rows for rows in times.steps_s if rows <= CPU_SLOTS), default=min(times.steps_s))
    faults = {rows: _fault(times, rows, most) for rows in sorted(times.steps_s)}
    if faults[usual]:
        good = [rows for rows in faults if rows < usual and not faults[rows]]
        slots = max(good, default=min(faults))
        return SlotAdvice(slots, f"{faults[usual]} with {usual}")
    chosen, reason = usual, "no more were tried"
    for more in (rows for rows in faults if rows > usual):
        gain = times.gain(chosen, more)
        told = f"{more} give {gain.median:.2f} times ({gain.low:.2f} to {gain.high:.2f}) the answers of {chosen}"
        if gain.low < LEAST_GAIN ** log2(more / chosen):
            return SlotAdvice(chosen, told)
        if faults[more]:
            return SlotAdvice(chosen, f"{told}, but {faults[more]}")
        chosen, reason = more, told
    return SlotAdvice(chosen, reason)


def _fault(times: RowTimes, rows: int, most: int) -> str:
    """Say what is wrong with so many slots, whatever they give; empty if nothing is."""
    if rows > most:
        return f"there is memory for {most}"
    step_s = median(times.steps_s[rows])
    return f"a token takes {step_s:.2f} s" if step_s > LONGEST_STEP_S else ""
