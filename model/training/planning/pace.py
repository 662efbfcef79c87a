"""Pace of a run on this machine, measured by a few real passes before it begins: seconds and peak memory.

What is measured is what a step does, at a learning rate of zero, so that nothing is learned from it. Called by each
training process's main thread; processes do not wait for each other here.
"""

from __future__ import annotations

import platform
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from model.training.batches import SIGNAL_S, Loader, is_lost_worker
from model.training.gradient_step import GradientStep
from model.training.optimizers import Optimizer
from model.training.validation.validations import Validations

_ENOUGH_S = 3.0  # of passes behind the first
_MOST_PASSES = 8


@dataclass(frozen=True, slots=True)
class Pace:
    """Measured pace of a run.

    Attributes:
        step_s: of an optimizer step.
        validation_s: of a validation; 0 without one.
        peak_bytes: largest memory so far: the GPU's, or this process's.
    """

    step_s: float
    validation_s: float
    peak_bytes: int

    def seconds(self, steps: int, validations: int) -> float:
        """Return how long so many steps and validations take."""
        return self.step_s * steps + self.validation_s * validations


def measured_pace(
    step: GradientStep, optimizer: Optimizer, loader: Loader, validations: Validations | None, compiled: bool = False
) -> Pace:
    """Measure some forward and backward passes, an update and the first images of a validation.

    The first pass, which warms up, is left out where it is not all there is time for. Of compiled layers several passes
    compile, for a minute each: the faster half of more passes is what counts.
    """
    laps: list[float] = []
    tokens = 1
    try:
        for seconds, output_tokens in _passes(step, loader):
            laps.append(seconds)
            tokens = output_tokens
            enough = sum(laps[1:]) >= _ENOUGH_S or laps[0] > 4 * _ENOUGH_S
            if len(laps) == _MOST_PASSES or (enough and not compiled):
                break
    except RuntimeError as error:
        if not (is_lost_worker(error) and step.stops_within(SIGNAL_S)):
            raise
    if not laps:
        return Pace(0.0, 0.0, peak_bytes())
    started = time.monotonic()
    step.update(optimizer, 0.0, tokens, 0)
    update_s = time.monotonic() - started
    measured = sorted(laps)[: len(laps) // 2] if compiled else laps[1:]
    measured = measured or laps
    pass_s = sum(measured) / len(measured)
    validation_s = validations.seconds_of_one() if validations is not None else 0.0
    return Pace(len(loader.draws(0)) * pass_s + update_s, validation_s, peak_bytes())


def _passes(step: GradientStep, loader: Loader) -> Iterator[tuple[float, int]]:
    """Do forward and backward passes; yield the seconds of each, waiting for data included, and its output tokens."""
    started = time.monotonic()
    for batch in loader.passes(0, _MOST_PASSES):
        if step.stopping:
            return
        tokens = int(step.one_pass(batch, last=False)[2])
        started, before = time.monotonic(), started
        yield started - before, tokens


def peak_bytes() -> int:
    """Return the peak memory of the GPU as torch knows it, or of this process where there is none."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if platform.system() == "Darwin" else 1024)
