"""Data classes of a batch run: questions, tasks, answer options and outcomes.

Plain data, whoever answers: an engine in this process or a service. Pure; safe from any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model.explain import LayerShare
from model.request import FinishReason, Sampling
from service.fetching.urls import ImageLink
from service.schemas.responses import ImageFields


@dataclass(frozen=True, slots=True)
class StandardInput:
    """The image that came through standard input."""

    content: bytes = field(repr=False)

    def __str__(self) -> str:
        return "-"


ImagePlace = Path | ImageLink | StandardInput  # a file, an image on the web, or one that was piped in


class CannotAsk(ValueError):
    """A question cannot be asked of this model; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question about an image.

    Attributes:
        fields: what was asked, as it is written beside the answer: `length` and `style`, or `question` and its style.
        instruction: the words given to the model.
        key: what the answer is called, `caption` or `answer`.
        offered: answers of which one is given, word for word; any if there are none.
    """

    fields: Mapping[str, Any]
    instruction: str
    key: str
    offered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """An image with the questions to ask about it."""

    image: ImagePlace
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """Options for every answer of a run.

    Attributes:
        sampling: the same for every answer.
        may_shorten: whether an answer for which the context has too little room is shortened, not refused.
        explain: whether each answer comes with where the model looked.
        prepare: from an image's file to the file that the model gets.
    """

    sampling: Sampling
    may_shorten: bool = False
    explain: bool = False
    prepare: Callable[[bytes], bytes] = bytes  # the file itself


@dataclass(frozen=True, slots=True)
class AnsweredQuestion:
    """The answer to a question.

    Attributes:
        question: what was asked.
        text: the answer.
        finish_reason: why it ends.
        shares: where each layer looked, if that was asked for.
        confidence: mean log-probability of its tokens; None if whoever answers does not tell it.
        probabilities: of each answer that the question offers.
        outside: it says that the image is outside the model's known world.
    """

    question: Question
    text: str
    finish_reason: FinishReason
    shares: tuple[LayerShare, ...] = ()
    confidence: float | None = None
    probabilities: tuple[float, ...] = ()
    outside: bool = False


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """The outcome of one task.

    Attributes:
        place: its place among the tasks.
        task: what was asked.
        answers: one for each question that was answered.
        errors: what went wrong, in words.
        image: what the image's file is, if it could be read.
        warnings: stable words for what was wrong with it and did not hinder.
    """

    place: int
    task: Task
    answers: tuple[AnsweredQuestion, ...] = ()
    errors: tuple[str, ...] = ()
    image: ImageFields | None = None
    warnings: tuple[str, ...] = ()


def tasks_of(
    images: Sequence[ImagePlace], questions: Sequence[Question], done: Callable[[ImagePlace, Question], bool]
) -> list[Task]:
    """Make a task of each image that has unanswered questions."""
    open_questions = ((image, tuple(q for q in questions if not done(image, q))) for image in images)
    return [Task(image, left) for image, left in open_questions if left]
