"""Progress of a batch run: a bar on a terminal, lines in a log.

Knows nothing of answers. Main thread only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn
from rich.progress import Task as BarTask
from rich.text import Text

FIRST_LINE_S, LONGEST_PAUSE_S = 10.0, 300.0


@contextmanager
def progress_shown(console: Console, total: int) -> Iterator[Callable[[], None]]:
    """Show the progress of a run over `total` images, if they are several; give what is called after each."""
    if total < 2:
        yield lambda: None
    elif not console.is_terminal:
        yield ProgressLines(lambda line: console.print(line, markup=False), total).advance
    else:
        with Progress(*_COLUMNS, console=console) as progress:
            bar = progress.add_task("images", total=total)
            yield lambda: progress.advance(bar)


class ProgressLines:
    """Progress as lines, for a log: after 10 seconds, then after pauses that double up to 5 minutes.

    Args:
        tell: shows a line.
        total: how many images there are.
        clock: monotonic seconds.
    """

    def __init__(self, tell: Callable[[str], None], total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._tell, self._total, self._clock = tell, total, clock
        self._done, self._began_s, self._pause_s = 0, clock(), FIRST_LINE_S
        self._next_s = self._began_s + FIRST_LINE_S

    def advance(self) -> None:
        """Count one more image, and write a line if it is time for one."""
        self._done += 1
        now_s = self._clock()
        if now_s < self._next_s or self._done == self._total:
            return
        words = rate_words(self._done, self._total, now_s - self._began_s)
        self._tell(f"pheye: {self._done} of {self._total} images, {words}")
        self._next_s = now_s + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)


def rate_words(done: int, total: int, seconds: float) -> str:
    """Tell the rate and the time left over the whole run, because answers end in bursts.

    >>> rate_words(30, 120, 60.0)
    '0.50 images/s, 0:03:00 left'
    """
    rate = done / seconds
    return f"{rate:.2f} images/s, {timedelta(seconds=round((total - done) / rate))} left"


class _RateColumn(ProgressColumn):
    """A column with rate and time left."""

    def render(self, task: BarTask) -> Text:
        if not task.completed or not task.elapsed or task.total is None:
            return Text("")
        return Text(rate_words(int(task.completed), int(task.total), task.elapsed))


_COLUMNS: Sequence[ProgressColumn] = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    _RateColumn(),
)
