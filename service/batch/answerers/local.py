"""Offline batch inference: many images through one engine in this process, all slots busy, memory bounded.

Owns decoding ahead of the engine and the putting together of answers. Knows neither files of results nor terminals.
One thread drives the engine; a few decode images.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Event
from typing import Protocol

from model.pixels.tiles import TiledImage
from service.batch.task import (
    AnsweredQuestion,
    AnswerOptions,
    CannotAsk,
    ImagePlace,
    Question,
    Task,
    TaskOutcome,
)
from service.confidence import DIGITS, confidence_of
from service.errors import ServiceError
from service.messages.from_worker import Broken, Delta, Finished, Refused, RowEvent, StepDone
from service.messages.rows import Row
from service.messages.to_worker import Submit
from service.schemas.responses import ImageFields


class StepEngine(Protocol):
    """The part of `service.worker.engine.Engine` that a local run needs."""

    @property
    def busy(self) -> bool:
        """True if a step would do anything."""

    def submit(self, message: Submit) -> None:
        """Accept rows for the steps to come."""

    def step(self) -> StepDone:
        """Run one step of the engine."""


@dataclass(slots=True)
class _OpenTask:
    """A task that the engine works on."""

    place: int
    task: Task
    image: ImageFields
    warnings: tuple[str, ...]
    texts: dict[str, str] = field(default_factory=dict)  # by row id
    logprobs: dict[str, list[float]] = field(default_factory=dict)
    answers: dict[str, AnsweredQuestion] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def outcome(self) -> TaskOutcome | None:
        """Return the outcome, once every row has ended."""
        if len(self.answers) + len(self.errors) < len(self.task.questions):
            return None
        ordered = tuple(self.answers[row_id] for row_id in self.texts if row_id in self.answers)
        return TaskOutcome(self.place, self.task, ordered, tuple(self.errors), self.image, self.warnings)


class LocalRun:
    """A run of one engine over many tasks.

    Args:
        engine: with a loaded model; used by nobody else.
        read: file or link to tiles; called in the decoding threads.
        answer_options: how the answers are made; files are prepared by `read`.
        in_flight: most images decoded or being worked on at the same time.
        threads: decoding threads.
        ended: is set when the run has ended, so that `read` waits for nothing more.
    """

    def __init__(
        self,
        engine: StepEngine,
        read: Callable[[ImagePlace], TiledImage],
        answer_options: AnswerOptions,
        *,
        in_flight: int,
        threads: int,
        ended: Event | None = None,
    ) -> None:
        self._engine, self._read, self._answer_options = engine, read, answer_options
        self._in_flight, self._threads, self._ended = in_flight, threads, ended or Event()
        self._decoding: deque[tuple[int, Task, Future[TiledImage]]] = deque()
        self._open: dict[int, _OpenTask] = {}

    def run(self, tasks: Iterable[Task]) -> Generator[TaskOutcome, None, None]:
        """Yield outcomes in the order in which they are complete.

        Raises:
            CannotAsk: a question is too long for the model, whatever the image.
        """
        ahead = enumerate(tasks)
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="pheye-decode")
        try:
            while self._decode_ahead(pool, ahead) or self._engine.busy:
                yield from self._submit_decoded()
                if self._engine.busy:
                    yield from self._step()
        finally:
            self._ended.set()
            pool.shutdown(cancel_futures=True)

    def _decode_ahead(self, pool: ThreadPoolExecutor, ahead: Iterator[tuple[int, Task]]) -> bool:
        """Start to decode as far as the bound allows, and say whether any image is on its way."""
        while len(self._decoding) + len(self._open) < self._in_flight:
            place, task = next(ahead, (0, None))
            if task is None:
                break
            self._decoding.append((place, task, pool.submit(self._read, task.image)))
        return bool(self._decoding)

    def _submit_decoded(self) -> Iterator[TaskOutcome]:
        """Give the engine what is decoded, in order; wait for the next image if the engine has nothing to do."""
        if self._decoding and not self._engine.busy:
            wait([self._decoding[0][2]])
        while self._decoding and self._decoding[0][2].done():
            place, task, future = self._decoding.popleft()
            try:
                self._submit(place, task, future.result())
            except ServiceError as error:
                yield TaskOutcome(place, task, errors=(error.detail,))
            except OSError as error:
                yield TaskOutcome(place, task, errors=(f"image: {error.strerror or error}",))
            except MemoryError:
                yield TaskOutcome(place, task, errors=("image: there is not enough memory to decode it",))

    def _submit(self, place: int, task: Task, image: TiledImage) -> None:
        how = self._answer_options
        rows = tuple(
            Row(
                f"{place}.{index}",
                question.instruction,
                how.sampling,
                may_shorten=how.may_shorten,
                explain=how.explain,
                choices=question.offered,
            )
            for index, question in enumerate(task.questions)
        )
        texts = {row.id: "" for row in rows}
        self._open[place] = _OpenTask(place, task, ImageFields.of(image), image.facts.warnings, texts)
        self._engine.submit(Submit(image, rows))

    def _step(self) -> Iterator[TaskOutcome]:
        for event in self._engine.step().events:
            place, _, index = event.id.partition(".")
            opened = self._open[int(place)]
            _take(opened, event, opened.task.questions[int(index)])
            outcome = opened.outcome()
            if outcome is not None:
                del self._open[opened.place]
                yield outcome


def _take(opened: _OpenTask, event: RowEvent, question: Question) -> None:
    match event:
        case Delta(id=row_id, text=text, logprobs=logprobs):
            opened.texts[row_id] += text
            opened.logprobs.setdefault(row_id, []).extend(each.logprob for each in logprobs)
        case Finished(id=row_id, explanation=explanation):
            opened.answers[row_id] = AnsweredQuestion(
                question,
                # The original strips answers on the left: the first token of a word carries the space before it.
                (opened.texts[row_id] + event.text).lstrip(),
                event.finish_reason,
                explanation.layers if explanation is not None else (),
                confidence_of(opened.logprobs.get(row_id, ())),
                tuple(round(probability, DIGITS) for probability in event.probabilities),
                event.outside,
            )
        case Refused(field=name, detail=detail):
            raise CannotAsk(f"{name.removeprefix('settings.')}: {detail}")
        case Broken(detail=detail):
            opened.errors.append(detail)
