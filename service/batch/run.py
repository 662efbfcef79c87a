"""Batch runs from start to end: a progress bar, failures, the exit code.

Whatever answers - the engine in this process (`service.batch.offline`) or a running service (`service.batch.remote`) -
gives outcomes, and here they are written down. Knows neither models nor HTTP. Main thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn
from rich.progress import Task as BarTask
from rich.text import Text

from model.request import Sampling
from service.batch.result_file import Printer, ResultFile, Sink, shown
from service.batch.task import AnswerOptions, ImagePlace, Question, Task, TaskOutcome, tasks_of
from service.known_world import REAL_CHECKPOINT

EXIT_FAILURES, EXIT_INTERRUPTED = 1, 130
WARNINGS = {"image_end_missing": "the end of the file is missing; what is there was read"}


@dataclass(frozen=True, slots=True)
class Answerer:
    """An engine or a service that is ready to answer.

    Attributes:
        model: name of the model.
        run: tasks to outcomes, in the order in which they are complete; closing it ends everything under way.
        weights: fingerprint of the model's weights; empty if they are elsewhere.
    """

    model: str
    run: Callable[[Iterable[Task]], Generator[TaskOutcome, None, None]]
    weights: str = ""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """The tasks of a run that are left, the sink of its outcomes, and the number of images already done."""

    tasks: Sequence[Task]
    sink: Sink
    done: int


class Work(Protocol):
    """A piece of work for `carry_out`: a job, or an evaluation."""

    @property
    def results(self) -> Path | None:
        """The file that lets the work continue after an interruption."""

    def open(self, answerer: Answerer) -> AbstractContextManager[RunPlan]:
        """Plan the work that is left for this model; its files stay open until the end.

        Raises:
            ValueError, OSError: a file of results cannot be used.
        """


@dataclass(frozen=True, slots=True)
class Job:
    """A run of `pheye caption` or `pheye ask`.

    Attributes:
        images: files and images on the web, each once.
        questions: asked of every one of them.
        sampling: the same for every answer.
        results: the JSON Lines file, or None for standard output.
        may_shorten: nobody asked for that many tokens: an answer gets fewer where the context has no room for them,
            and a service its own default.
    """

    images: tuple[ImagePlace, ...]
    questions: tuple[Question, ...]
    sampling: Sampling
    results: Path | None
    may_shorten: bool = False

    @property
    def answer_options(self) -> AnswerOptions:
        """The options for all of its answers."""
        return AnswerOptions(self.sampling, self.may_shorten)

    @contextmanager
    def open(self, answerer: Answerer) -> Iterator[RunPlan]:
        """Plan the images with unanswered questions; answers go to the file, or are printed."""
        with ExitStack() as stack:
            results = stack.enter_context(ResultFile(self.results, answerer.model)) if self.results else None
            tasks = tasks_of(self.images, self.questions, results.has if results else lambda *_: False)
            sink = results or Printer(images=len(self.images) > 1, questions=len(self.questions) > 1)
            yield RunPlan(tasks, sink, done=len(self.images) - len(tasks))


def carry_out(work: Work, start: Callable[[Console], Answerer]) -> int:
    """Carry out a piece of work to its end.

    Args:
        work: what to answer.
        start: makes the answerer ready; may take long, and tells the user of it.

    Returns:
        The exit code: 0, 1 if an image failed, 130 after Ctrl-C.

    Raises:
        ValueError, OSError: the answerer or a file of results cannot be used, or a question is too long.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with ExitStack() as stack:
        try:
            answerer = start(console)
            plan = stack.enter_context(work.open(answerer))
            outcomes = stack.enter_context(closing(answerer.run(plan.tasks)))
            return _follow(console, outcomes, plan.sink, total=len(plan.tasks), skipped=plan.done)
        except KeyboardInterrupt:
            again = "; the same command goes on from here" if work.results else ""
            console.print(f"pheye: interrupted{again}", markup=False)
            return EXIT_INTERRUPTED


def _follow(console: Console, outcomes: Iterator[TaskOutcome], sink: Sink, *, total: int, skipped: int) -> int:
    """Write outcomes down as they come, report failures, draw the bar."""
    failures = outside = 0
    if skipped:
        console.print(f"pheye: {skipped} of {skipped + total} images are answered already", markup=False)
    with Progress(*_COLUMNS, console=console, disable=not console.is_terminal or total < 2) as progress:
        bar = progress.add_task("images", total=total)
        for outcome in outcomes:
            sink.add(outcome)
            for word in outcome.warnings:
                told = WARNINGS.get(word, word)
                progress.console.print(f"pheye: {shown(outcome.task.image)}: warning: {told}", markup=False)
            for error in outcome.errors:
                progress.console.print(f"pheye: {shown(outcome.task.image)}: {error}", markup=False)
            failures += bool(outcome.errors)
            outside += any(answer.outside for answer in outcome.answers)
            progress.advance(bar)
    if outside:
        told = f"{outside} of {total} images are outside what the model knows; for photographs: {REAL_CHECKPOINT}"
        console.print(f"pheye: {told}", markup=False)
    if failures:
        console.print(f"pheye: {failures} of {total} images failed", markup=False)
    return EXIT_FAILURES if failures else 0


class _RateColumn(ProgressColumn):
    """A column with rate and time left over the whole run, because answers end in bursts."""

    def render(self, task: BarTask) -> Text:
        if not task.completed or not task.elapsed or task.total is None:
            return Text("")
        rate = task.completed / task.elapsed
        left = timedelta(seconds=round((task.total - task.completed) / rate))
        return Text(f"{rate:.2f} images/s, {left} left")


_COLUMNS: Sequence[ProgressColumn] = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    _RateColumn(),
)
