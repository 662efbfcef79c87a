"""Progress of a training run: a bar on a terminal, a line now and then elsewhere.

Knows reports of steps, not what a step does. Main thread only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from model.training.journal import TrainingStep

_LINE_EVERY_S = 60.0  # where there is no terminal to draw a bar on


class TrainingBar:
    """A progress bar of a training run, shown while it is open.

    Args:
        console: where to.
        done: steps that were done before; they do not count for the rate.
        total: steps of the whole run.
        clock: seconds that only go up.
    """

    def __init__(self, console: Console, done: int, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[now]}"),
        )
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._bar = self._progress.add_task("training", total=total, completed=done, now="")
        self._console, self._first, self._total, self._clock = console, done, total, clock
        self._started = self._line_at = clock()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, report: TrainingStep) -> None:
        """Show one more step."""
        now = self._now(report)
        self._progress.update(self._bar, completed=report.done, description=f"stage {report.stage}", now=now)
        last = report.done == self._total
        if not self._console.is_terminal and (last or self._clock() >= self._line_at):
            self._console.print(f"stage {report.stage}: step {report.done} of {self._total}, {now}", markup=False)
            self._line_at = self._clock() + _LINE_EVERY_S

    def _now(self, report: TrainingStep) -> str:
        """Describe loss, rate and time left at the mean rate so far."""
        per_step_s = (self._clock() - self._started) / (report.done - self._first)
        left = timedelta(seconds=round(per_step_s * (self._total - report.done)))
        return f"loss {report.loss:.3f}, {report.accuracy:.0%} right, {report.images_per_s:.1f} images/s, {left} left"
