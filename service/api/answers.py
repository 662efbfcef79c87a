"""From the rows' events to what the client reads: texts, chunks, usage, timings.

Owns the shape of an answer, streamed or whole, and that both say the same. Knows no HTTP and no queue. One `Answer` is
used by one task.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from model.request import FinishReason
from service.messages import Delta, Finished
from service.schemas.explanation import explanation_fields
from service.schemas.responses import Problem, TimingFields, UsageFields

AnswerKey = Literal["caption", "answer", "answers"]


@dataclass(slots=True)
class _RowText:
    text: str = ""
    end: Finished | None = None


@dataclass(slots=True)
class Answer:
    """The answer to one request, while it comes and when it is there.

    Attributes:
        id: the request's id.
        model: name of the model.
        key: what the answer is called; `answers` has one for each of several questions.
        rows: how many rows will finish.
    """

    id: str
    model: str
    key: AnswerKey
    rows: int
    _rows: list[_RowText] = field(init=False)

    def __post_init__(self) -> None:
        """A text for each row."""
        self._rows = [_RowText() for _ in range(self.rows)]

    def take(self, index: int, event: Delta | Finished) -> dict[str, Any] | None:
        """Add an event; the chunk to stream, or None if it shows nothing new.

        White space in front of a text is dropped, however it is cut into events.
        """
        row = self._rows[index]
        new = event.text if row.text else event.text.lstrip()
        row.text += new
        if isinstance(event, Finished):
            row.end = event
        if not new:
            return None
        return {"chunk": new, "index": index} if self.key == "answers" else {"chunk": new}

    def whole(self, *, preprocess_s: float, total_s: float) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        texts = [row.text for row in self._rows]
        head = {"id": self.id, "model": self.model, self.key: texts if self.key == "answers" else texts[0]}
        return head | self._end(preprocess_s, total_s)

    def opening(self) -> list[dict[str, Any]]:
        """A stream begins with its first chunk."""
        return []

    def closing(self, *, preprocess_s: float, total_s: float) -> list[dict[str, Any]]:
        """The last event of a stream."""
        return [{"completed": True, "id": self.id, "model": self.model} | self._end(preprocess_s, total_s)]

    def failed(self, problem: Problem) -> list[dict[str, Any]]:
        """The last event of a stream that fails in the middle."""
        return [{"error": problem.model_dump(), "completed": True}]

    def _end(self, preprocess_s: float, total_s: float) -> dict[str, Any]:
        ends = [row.end for row in self._rows if row.end is not None]
        reasons = [end.finish_reason for end in ends]
        several = {"finish_reasons": reasons} if self.key == "answers" else {}
        return {
            "finish_reason": _overall(reasons),
            **several,
            **self._explanations(ends),
            "usage": _usage(ends).model_dump(),
            "timings": _timings(ends, preprocess_s, total_s).model_dump(),
        }

    def _explanations(self, ends: list[Finished]) -> dict[str, Any]:
        told = [explanation_fields(end.explanation).model_dump() for end in ends if end.explanation is not None]
        if not told:
            return {}
        return {"explanations": told} if self.key == "answers" else {"explanation": told[0]}


def _overall(reasons: list[FinishReason]) -> FinishReason:
    return "length" if "length" in reasons else "stop"


def _usage(ends: list[Finished]) -> UsageFields:
    return UsageFields(
        prompt_tokens=sum(end.usage.prompt_tokens for end in ends),
        completion_tokens=sum(end.usage.completion_tokens for end in ends),
        image_tokens=max(end.usage.image_tokens for end in ends),
        image_tiles=max(end.usage.image_tiles for end in ends),
        # The rows share one image: it was cached only if none of them had to encode it.
        image_features_cached=all(end.usage.image_features_cached for end in ends),
    )


def _timings(ends: list[Finished], preprocess_s: float, total_s: float) -> TimingFields:
    return TimingFields(
        queue=max(end.timings.queue_s for end in ends),
        preprocess=preprocess_s,
        encode=max(end.timings.encode_s for end in ends),
        prefill=max(end.timings.prefill_s for end in ends),
        decode=max(end.timings.decode_s for end in ends),
        total=total_s,
    )
