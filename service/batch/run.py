"""Batch runs from start to end: files opened first, then whoever answers, then failures told and an exit code.

Whatever answers - the engine in this process (`service.batch.answerers.offline`) or a running service
(`service.batch.answerers.remote`) - gives outcomes, and here they are written down. Knows neither models nor HTTP. Main
thread only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from model.request import Sampling
from service.batch.progress import progress_shown
from service.batch.results.jsonl import ResultFile
from service.batch.results.parquet import ParquetResults
from service.batch.results.records import AnswerTerms, shown
from service.batch.results.target import can_continue, open_target
from service.batch.results.text import JsonStream, Printer
from service.batch.task import AnswerOptions, ImagePlace, Question, StandardInput, Task, TaskOutcome, tasks_of
from service.configuration.plain_words import plain_value
from service.known_world import PUBLISHED_MODEL

EXIT_FAILURES, EXIT_INTERRUPTED = 1, 130
WARNINGS = {"image_end_missing": "the end of the file is missing; what is there was read"}


@dataclass(frozen=True, slots=True)
class Answerer:
    """An engine or a service that is ready to answer.

    Attributes:
        model: name of the model.
        run: tasks to outcomes, in the order in which they are complete; closing it ends everything under way.
        weights: fingerprint of the model's weights; empty if they are elsewhere.
        knows: the pictures that the model was made for, in a few words; None if it does not say.
        otherwise: what to type for a model that knows other pictures.
        precision: number format it computes in, and how images are decoded; empty if that is elsewhere.
    """

    model: str
    run: Callable[[Iterable[Task]], Generator[TaskOutcome, None, None]]
    weights: str = ""
    knows: str | None = None
    otherwise: str = f"the same command with {PUBLISHED_MODEL}"
    precision: str = ""


class Sink(Protocol):
    """A sink of outcomes: a result file, or standard output."""

    def add(self, outcome: TaskOutcome) -> None:
        """Take one more outcome."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """The tasks of a run that are left.

    Attributes:
        tasks: what is to be asked.
        sink: takes the outcomes.
        done: how many images were answered before.
        notes: what the user should know before it begins.
        finish: called when every outcome has been taken.
        flush: called however the run ends; writes outcomes that the sink has held back.
    """

    tasks: Sequence[Task]
    sink: Sink
    done: int
    notes: Sequence[str] = ()
    finish: Callable[[], None] = lambda: None
    flush: Callable[[], None] = lambda: None


class Work(Protocol):
    """A piece of work for `carry_out`: a job, or an evaluation."""

    @property
    def resumable(self) -> bool:
        """True if the same command goes on where it was interrupted."""

    def open(self) -> AbstractContextManager[Callable[[Answerer], RunPlan]]:
        """Open its files, before the answerer is made ready; give what then plans the work that is left.

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
        results: a JSON Lines or Parquet file, `-` or a pipe for JSON Lines that nobody continues, or None for text.
        may_shorten: nobody asked for that many tokens: an answer gets fewer where the context has no room for them,
            and a service its own default.
        as_json: print the one answer as a JSON object instead of text.
        length_unknown: what an answer's length is bounded by is for the service to say.
    """

    images: tuple[ImagePlace, ...]
    questions: tuple[Question, ...]
    sampling: Sampling
    results: Path | None
    may_shorten: bool = False
    as_json: bool = False
    length_unknown: bool = False

    @property
    def answer_options(self) -> AnswerOptions:
        """The options for all of its answers."""
        return AnswerOptions(self.sampling, self.may_shorten)

    @property
    def resumable(self) -> bool:
        """True if the same command goes on where it was interrupted."""
        return can_continue(self.results)

    @contextmanager
    def open(self) -> Iterator[Callable[[Answerer], RunPlan]]:
        """Open the file of answers, if there is one; the plan is of the images with unanswered questions."""
        with ExitStack() as stack:
            opened = stack.enter_context(open_target(self.results)) if self.results is not None else None
            if isinstance(opened, ResultFile | ParquetResults):
                yield lambda answerer: self._continued(opened, self._terms(answerer))
            else:
                stream = opened or sys.stdout.buffer
                yield (
                    lambda answerer: (
                        self._anew(JsonStream(stream, self._terms(answerer), single=self.as_json))
                        if opened or self.as_json
                        else self._printed()
                    )
                )

    def _terms(self, answerer: Answerer) -> AnswerTerms:
        chosen = self.sampling
        settings: dict[str, Any] = {} if self.length_unknown else {"max_tokens": chosen.max_tokens}
        settings |= {"temperature": chosen.temperature, "top_p": chosen.top_p, "seed": chosen.seed}
        return AnswerTerms(answerer.model, settings | {"stop": list(chosen.stop)})

    def _anew(self, sink: Sink) -> RunPlan:
        return RunPlan(tasks_of(self.images, self.questions, lambda *_: False), sink, done=0)

    def _printed(self) -> RunPlan:
        printer = Printer(images=len(self.images) > 1, questions=len(self.questions) > 1)
        return replace(self._anew(printer), flush=printer.flush)

    def _continued(self, results: ResultFile | ParquetResults, terms: AnswerTerms) -> RunPlan:
        def done(image: ImagePlace, question: Question) -> bool:
            return not isinstance(image, StandardInput) and results.has(image, question)  # it may be another one now

        results.begin(terms)
        tasks = tasks_of(self.images, self.questions, done)
        return RunPlan(tasks, results, len(self.images) - len(tasks), results.notes(self.questions), results.finish)


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
            planned = stack.enter_context(work.open())
            answerer = start(console)
            plan = planned(answerer)
            outcomes = stack.enter_context(closing(answerer.run(plan.tasks)))
            try:
                code = _follow(console, outcomes, plan, answerer)
            finally:
                plan.flush()
            plan.finish()
            return code
        except KeyboardInterrupt:
            again = "; the same command goes on from here" if work.resumable else ""
            console.print(f"pheye: interrupted{again}", markup=False)
            return EXIT_INTERRUPTED


def _follow(console: Console, outcomes: Iterator[TaskOutcome], plan: RunPlan, answerer: Answerer) -> int:
    """Write outcomes down as they come, report failures, show the progress."""
    failures, outside, total = 0, 0, len(plan.tasks)

    def tell(line: str) -> None:
        console.print(f"pheye: {line}", markup=False)

    for note in plan.notes:
        tell(note)
    if plan.done:
        tell(f"{plan.done} of {plan.done + total} images are answered already")
    with progress_shown(console, total) as advance:
        for outcome in outcomes:
            plan.sink.add(outcome)
            for word in outcome.warnings:
                tell(f"{shown(outcome.task.image)}: warning: {WARNINGS.get(word, word)}")
            for error in outcome.errors:
                tell(f"{shown(outcome.task.image)}: {error}")
            failures += bool(outcome.errors)
            outside += any(answer.outside for answer in outcome.answers)
            advance()
    if outside:
        tell(outside_words(outside, total, answerer))
    if failures:
        tell(f"{failures} of {total} images failed")
    return EXIT_FAILURES if failures else 0


def outside_words(outside: int, total: int, answerer: Answerer) -> str:
    """Say once that images are outside what a model knows, what it knows, and what to type instead.

    >>> answerer = Answerer("pheye-tiny", lambda tasks: (_ for _ in ()), knows="drawn shapes, not photographs")
    >>> outside_words(1, 1, answerer).partition("; ")[0]
    '1 image is outside what pheye-tiny knows (drawn shapes, not photographs)'
    """
    images = f"{outside} of {total} images {'is' if outside == 1 else 'are'}" if total > 1 else "1 image is"
    known = f" ({plain_value(answerer.knows)})" if answerer.knows else ""
    return f"{images} outside what {plain_value(answerer.model)} knows{known}; for others: {answerer.otherwise}"
