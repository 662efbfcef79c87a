"""Answers in the service's own JSON, whole or streamed: text, chunks, usage, timings.

Owns what goes into an answer, streamed or whole, and that both say the same; its shape is `service.schemas.responses`'.
Knows no HTTP and no queue. One `Answer` is used by one task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from model.request import FinishReason
from model.tiles import TiledImage
from service.messages import Delta, Finished
from service.schemas.explanation import explanation_fields
from service.schemas.responses import (
    CaptionAnswer,
    ImageFields,
    Problem,
    StreamChunk,
    StreamEnd,
    StreamFailure,
    TimingFields,
    UsageFields,
    VqaAnswer,
)

AnswerKey = Literal["caption", "answer", "answers"]


@dataclass(slots=True)
class _RowText:
    text: str = ""
    end: Finished | None = None


@dataclass(slots=True)
class Answer:
    """An answer to one request, which grows as events come from its rows.

    Attributes:
        id: the request's id.
        model: name of the model.
        key: what the answer is called; `answers` has one for each of several questions.
        rows: how many rows will finish.
        image: what they are about, once it is decoded.
    """

    id: str
    model: str
    key: AnswerKey
    rows: int
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
        """The fields that tell of the image; empty until it is decoded."""
        if self.image is None:
            return {}
        return {"image": ImageFields.of(self.image), "warnings": list(self.image.facts.warnings)}

    @property
    def finish_reason(self) -> FinishReason:
        """The finish reason: `length` if any row was cut short."""
        return "length" if any(end.finish_reason == "length" for end in self._ends) else "stop"

    @property
    def usage(self) -> UsageFields:
        """Add up the token usage of all rows."""
        ends = self._ends
        return UsageFields(
            prompt_tokens=sum(end.usage.prompt_tokens for end in ends),
            completion_tokens=sum(end.usage.completion_tokens for end in ends),
            image_tokens=max(end.usage.image_tokens for end in ends),
            image_tiles=max(end.usage.image_tiles for end in ends),
            # The rows share one image: it was cached only if none of them had to encode it.
            image_features_cached=all(end.usage.image_features_cached for end in ends),
        )

    def look_at(self, image: TiledImage) -> None:
        """Note the image that the answer is about."""
        self.image = image

    def take(self, index: int, event: Delta | Finished) -> StreamChunk | None:
        """Add an event and return the chunk to stream, or None if it shows nothing new.

        White space in front of a text is dropped, however it is cut into events.
        """
        row = self._rows[index]
        new = event.text if row.text else event.text.lstrip()
        row.text += new
        if isinstance(event, Finished):
            row.end = event
        if not new:
            return None
        return StreamChunk(chunk=new, index=index) if self.key == "answers" else StreamChunk(chunk=new)

    def whole(self, *, preprocess_s: float, total_s: float) -> CaptionAnswer | VqaAnswer:
        """Build the body of an answer that is not streamed."""
        told = self._told(preprocess_s, total_s)
        if self.key == "caption":
            return CaptionAnswer(caption=self.texts[0], **told)
        if self.key == "answer":
            return VqaAnswer(answer=self.texts[0], **told)
        return VqaAnswer(answers=self.texts, **told)

    def opening(self) -> Sequence[StreamChunk]:
        """Return nothing: a stream of ours begins with its first chunk."""
        return []

    def closing(self, *, preprocess_s: float, total_s: float) -> Sequence[StreamEnd]:
        """Build the last event of a stream."""
        return [StreamEnd(completed=True, **self._told(preprocess_s, total_s))]

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
            **self._explanations(),
            **self.about,
            "usage": self.usage,
            "timings": _timings(self._ends, preprocess_s, total_s),
        }

    def _explanations(self) -> dict[str, Any]:
        told = [explanation_fields(end.explanation) for end in self._ends if end.explanation is not None]
        if not told:
            return {}
        return {"explanations": told} if self.key == "answers" else {"explanation": told[0]}


def _timings(ends: Sequence[Finished], preprocess_s: float, total_s: float) -> TimingFields:
    return TimingFields(
        queue=max(end.timings.queue_s for end in ends),
        preprocess=preprocess_s,
        encode=max(end.timings.encode_s for end in ends),
        prefill=max(end.timings.prefill_s for end in ends),
        decode=max(end.timings.decode_s for end in ends),
        total=total_s,
    )
