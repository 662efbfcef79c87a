"""Answers in the service's own JSON, whole or streamed: text, chunks, usage, timings.

Owns what goes into an answer, streamed or whole, and that both say the same; its shape is `service.schemas.responses`'.
Knows no HTTP and no queue. One `Answer` is used by one task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypeVar

from model.pixels.tiles import TiledImage
from model.request import FinishReason
from service.api.encoding import Extended
from service.confidence import DIGITS, confidence_of
from service.known_world import OUTSIDE_KNOWN_WORLD
from service.messages.from_worker import Delta, Finished
from service.schemas.explanation import explanation_json
from service.schemas.responses import (
    CaptionAnswer,
    ChoiceFields,
    ImageFields,
    Problem,
    StreamChunk,
    StreamEnd,
    StreamFailure,
    TimingFields,
    UsageFields,
    VqaAnswer,
)

T = TypeVar("T", CaptionAnswer, VqaAnswer, StreamEnd)
AnswerKey = Literal["caption", "answer", "answers"]


@dataclass(slots=True)
class _RowText:
    text: str = ""
    end: Finished | None = None
    logprobs: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class OfferedChoice:
    """A choice that every question of a request offers; `letter` is None where the answer is its text."""

    text: str
    letter: str | None = None

    def fields(self, probability: float) -> ChoiceFields:
        """Write the choice with its probability."""
        told: dict[str, Any] = {} if self.letter is None else {"letter": self.letter}
        return ChoiceFields(text=self.text, probability=round(probability, DIGITS), **told)


@dataclass(slots=True)
class Answer:
    """An answer to one request, which grows as events come from its rows.

    Attributes:
        id: the request's id.
        model: name of the model.
        key: what the answer is called; `answers` has one for each of several questions.
        rows: how many rows will finish.
        offered: the choices of each row, if it has any.
        image: what they are about, once it is decoded.
    """

    id: str
    model: str
    key: AnswerKey
    rows: int
    offered: Sequence[OfferedChoice] = ()
    image: TiledImage | None = None
    _rows: list[_RowText] = field(init=False)

    def __post_init__(self) -> None:
        """Begin with an empty text for each row."""
        self._rows = [_RowText() for _ in range(self.rows)]

    @property
    def texts(self) -> list[str]:
        """The text of each row so far."""
        return [row.text for row in self._rows]

    @property
    def about(self) -> dict[str, Any]:
        """The fields that tell of the image and of what is doubtful; empty until the image is decoded."""
        if self.image is None:
            return {}
        outside = [OUTSIDE_KNOWN_WORLD] if self.outside else []
        return {"image": ImageFields.of(self.image), "warnings": [*self.image.facts.warnings, *outside]}

    @property
    def outside(self) -> int:
        """The number of answers which say that the image is outside the model's known world."""
        return sum(end.outside for end in self._ends)

    @property
    def finish_reason(self) -> FinishReason:
        """The finish reason: `length` if any row was cut short."""
        return "length" if any(end.finish_reason == "length" for end in self._ends) else "stop"

    @property
    def confidence(self) -> float | None:
        """The mean log-probability of all tokens of all rows; None if none is known."""
        return confidence_of([logprob for row in self._rows for logprob in row.logprobs])

    @property
    def usage(self) -> UsageFields:
        """Add up the token usage of all rows."""
        ends = self._ends
        return UsageFields(
            prompt_tokens=sum(end.usage.prompt_tokens for end in ends),
            completion_tokens=sum(end.usage.completion_tokens for end in ends),
            image_tokens=max(end.usage.image_tokens for end in ends),
            image_tiles=max(end.usage.image_tiles for end in ends),
            # The rows share one image: what one of them had to encode was not cached.
            image_tiles_cached=min(end.usage.image_tiles_cached for end in ends),
            image_features_cached=all(end.usage.image_features_cached for end in ends),
        )

    def look_at(self, image: TiledImage) -> None:
        """Note the image that the answer is about."""
        self.image = image

    def timings(self, *, preprocess_s: float, total_s: float) -> TimingFields:
        """Tell where the time went, when all rows have finished."""
        spent = [end.timings for end in self._ends]
        return TimingFields(
            queue=max(each.queue_s for each in spent),
            preprocess=preprocess_s,
            encode=max(each.encode_s for each in spent),
            prefill=max(each.prefill_s for each in spent),
            decode=max(each.decode_s for each in spent),
            total=total_s,
        )

    def take(self, index: int, event: Delta | Finished) -> StreamChunk | None:
        """Add an event and return the chunk to stream, or None if it shows nothing new.

        White space in front of a text is dropped, however it is cut into events.
        """
        row = self._rows[index]
        new = event.text if row.text else event.text.lstrip()
        row.text += new
        if isinstance(event, Finished):
            row.end = event
        else:
            row.logprobs += [each.logprob for each in event.logprobs]
        if not new:
            return None
        return StreamChunk(chunk=new, index=index) if self.key == "answers" else StreamChunk(chunk=new)

    def whole(self, *, preprocess_s: float, total_s: float) -> CaptionAnswer | VqaAnswer | Extended:
        """Build the body of an answer that is not streamed."""
        told = self._told(preprocess_s, total_s)
        if self.key == "caption":
            return self._explained(CaptionAnswer(caption=self.texts[0], **told))
        if self.key == "answer":
            return self._explained(VqaAnswer(answer=self.texts[0], **told))
        return self._explained(VqaAnswer(answers=self.texts, **told))

    def opening(self) -> Sequence[StreamChunk]:
        """Return nothing: a stream of ours begins with its first chunk."""
        return []

    def closing(self, *, preprocess_s: float, total_s: float) -> Sequence[StreamEnd | Extended]:
        """Build the last event of a stream."""
        return [self._explained(StreamEnd(completed=True, **self._told(preprocess_s, total_s)))]

    def failed(self, problem: Problem) -> Sequence[StreamFailure]:
        """Build the last event of a stream that fails in the middle."""
        return [StreamFailure(error=problem, completed=True)]

    @property
    def _ends(self) -> list[Finished]:
        return [row.end for row in self._rows if row.end is not None]

    def _told(self, preprocess_s: float, total_s: float) -> dict[str, Any]:
        """Build the fields that an answer and the end of a stream share; those that do not apply are absent."""
        reasons = [end.finish_reason for end in self._ends]
        return {
            "id": self.id,
            "model": self.model,
            "finish_reason": self.finish_reason,
            **({"finish_reasons": reasons} if self.key == "answers" else {}),
            **self._confidences(),
            **self._choices(),
            **self.about,
            **self._warnings_by_question(),
            "usage": self.usage,
            "timings": self.timings(preprocess_s=preprocess_s, total_s=total_s),
        }

    def _warnings_by_question(self) -> dict[str, Any]:
        if self.key != "answers" or self.image is None:
            return {}
        return {"warnings_by_question": [[OUTSIDE_KNOWN_WORLD] if end.outside else [] for end in self._ends]}

    def _confidences(self) -> dict[str, Any]:
        if self.confidence is None:  # nobody has told any
            return {}
        several = {"confidences": [confidence_of(row.logprobs) for row in self._rows]} if self.key == "answers" else {}
        return {"confidence": self.confidence, **several}

    def _choices(self) -> dict[str, Any]:
        told = [
            [offered.fields(probability) for offered, probability in zip(self.offered, end.probabilities, strict=True)]
            for end in self._ends
            if end.probabilities
        ]
        if not told:
            return {}
        return {"choices_by_question": told} if self.key == "answers" else {"choices": told[0]}

    def _explained(self, body: T) -> T | Extended:
        write = [partial(explanation_json, end.explanation) for end in self._ends if end.explanation is not None]
        if not write:
            return body
        several = self.key == "answers"
        return Extended(body, "explanations" if several else "explanation", write, several)
