"""Validations of a run: when they are due, which was the best, and when to stop for want of a better one.

Keeps the best weights in a folder of their own; what came of each validation is in the metrics file, from which a
resumed run reads it back. Called by each training process's main thread, in step with the others.
"""

from __future__ import annotations

import time
from dataclasses import astuple, replace
from pathlib import Path

import torch
from accelerate import Accelerator

from model.training.artifacts.journal import ValidationReport, read_validations
from model.training.artifacts.snapshot import save_best
from model.training.gradient_step import GradientStep
from model.training.learner import Learner
from model.training.validation.validator import ValidationSums, Validator, metric_of

_TIMES = 10  # validations of a run, besides that of the model it starts from


class Validations:
    """Validations of one run.

    Args:
        validator: what to validate on.
        step: who knows whether the run shall stop.
        accelerator: the group of processes.
        folder: of the run.
        done: steps whose validations are this run's when it is opened; -1 for none, not even the start's.
        total: steps of the whole run.
        patience: validations without a better one after which the run ends; 0 for never.
    """

    def __init__(
        self,
        validator: Validator,
        step: GradientStep,
        accelerator: Accelerator,
        folder: Path,
        done: int,
        total: int,
        patience: int = 0,
    ) -> None:
        self._validator, self._step, self._accelerator = validator, step, accelerator
        self._folder, self._total, self._patience = folder, total, patience
        self.every = max(1, round(total / _TIMES))
        self._reports = [report for report in read_validations(folder / "metrics.jsonl") if report.done <= done]

    @property
    def exhausted(self) -> bool:
        """True when the last validations, as many as patience allows, brought nothing better."""
        trained = [report.best for report in self._reports if report.done]
        return bool(self._patience and len(trained) > self._patience and not any(trained[-self._patience :]))

    def is_due(self, done: int) -> bool:
        """Return whether the model is to be validated after so many steps, and has not been yet."""
        due = done % self.every == 0 or done == self._total
        return due and all(report.done != done for report in self._reports)

    def left(self, done: int) -> int:
        """Return how many validations are still to come."""
        points = {*range(0, self._total, self.every), self._total}
        return sum(point >= done and self.is_due(point) for point in points)

    def validate(self, done: int, learner: Learner) -> ValidationReport | None:
        """Validate, and keep the weights if they are the best yet; None where the run was asked to stop meanwhile."""
        started = time.monotonic()
        sums = self._sums()
        if sums is None:
            return None
        report = self._report(done, sums, time.monotonic() - started)
        self._reports.append(report)
        if report.best and self._accelerator.is_main_process:
            save_best(self._folder, done, learner.trained())
        return report

    def seconds_of_one(self) -> float:
        """Measure a validation by its first images."""
        started, numbers = time.monotonic(), self._numbers()
        next(self._validator.sums(numbers), None)
        return (time.monotonic() - started) * -(-len(numbers) // self._validator.at_once)

    def _numbers(self) -> range:
        """Return the numbers of the images that are this process's to look at."""
        return range(self._accelerator.process_index, len(self._validator.source), self._accelerator.num_processes)

    def _sums(self) -> ValidationSums | None:
        numbers, seen = self._numbers(), torch.zeros(6, dtype=torch.float64, device=self._accelerator.device)
        for part in self._validator.sums(numbers, goes_on=lambda: not self._step.stopping):
            seen += torch.tensor(astuple(part), dtype=torch.float64).to(seen)
        if self._step.stopping:  # several processes have agreed on it before, so none waits for the sums of another
            return None
        return ValidationSums(*self._accelerator.reduce(seen, reduction="sum").tolist())

    def _report(self, done: int, sums: ValidationSums, seconds: float) -> ValidationReport:
        source = self._validator.source
        shares = (sums.score / sums.answers, sums.exact / sums.answers)
        report = ValidationReport(
            done,
            sums.loss / sums.tokens,
            sums.right / sums.tokens,
            *shares,
            metric_of(source.turns),
            len(source),
            round(sums.answers),
            seconds,
        )
        trained = [earlier for earlier in self._reports if earlier.done]
        best = done > 0 and all(report.loss < earlier.loss for earlier in trained)
        return replace(report, best=best)
