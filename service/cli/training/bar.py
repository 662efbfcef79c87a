"""Progress of a training run: a bar on a terminal, a line now and then elsewhere.

Knows reports of steps, not what a step does. Main thread only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from model.training.artifacts.journal import Report, TrainingStep, ValidationReport
from service.cli.training.words import share

if TYPE_CHECKING:
    from model.training.planning.pace import Pace

_LINE_EVERY_S = 60.0  # where there is no terminal to draw a bar on


class TrainingBar:
    """A progress bar of a training run, shown while it is open.

    Args:
        console: where to.
        done: steps that were done before; they do not count for the rate.
        total: steps of the whole run.
        validations: that are still to come.
        pace: as it was measured before, for the time left until a step is done.
        clock: seconds that only go up.
    """

    def __init__(
        self,
        console: Console,
        done: int,
        total: int,
        validations: int = 0,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[now]}"),
        )
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        now = "" if pace is None else f"{_left(pace.seconds(total - done, validations))} left"
        self._bar = self._progress.add_task("training", total=total, completed=done, now=now)
        self._console, self._first, self._total, self._clock = console, done, total, clock
        self._validations, self._validation_s = validations, 0.0 if pace is None else pace.validation_s
        self._started = self._line_at = clock()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, report: Report) -> None:
        """Show one more step or validation."""
        if isinstance(report, ValidationReport):
            self._show_validation(report)
        else:
            self._show_step(report)

    def _show_step(self, report: TrainingStep) -> None:
        now = self._now(report)
        self._progress.update(self._bar, completed=report.done, description=f"stage {report.stage}", now=now)
        last = report.done == self._total
        if not self._console.is_terminal and (last or self._clock() >= self._line_at):
            self._console.print(f"stage {report.stage}: step {report.done} of {self._total}, {now}", markup=False)
            self._line_at = self._clock() + _LINE_EVERY_S

    def _show_validation(self, report: ValidationReport) -> None:
        self._started += report.seconds  # the rate is that of steps alone
        self._validations, self._validation_s = max(0, self._validations - 1), report.seconds
        when = f"after step {report.done}" if report.done else "before the first step"
        best = ", the best so far" if report.best else ""
        self._console.print(
            f"validation {when}: {report.metric} {share(report.score)}, loss {report.loss:.2f}{best}", markup=False
        )

    def _now(self, report: TrainingStep) -> str:
        """Describe loss, rate and time left at the mean rate so far."""
        per_step_s = (self._clock() - self._started) / (report.done - self._first)
        left = _left(per_step_s * (self._total - report.done) + self._validation_s * self._validations)
        return f"loss {report.loss:.3f}, {report.accuracy:.0%} right, {report.images_per_s:.1f} images/s, {left} left"


def _left(seconds: float) -> timedelta:
    return timedelta(seconds=round(seconds))
