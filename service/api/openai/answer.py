"""The answer to a chat: the same text and numbers as a native answer, in the shapes OpenAI's clients expect.

Owns nothing of what the answer is: it wraps `service.api.answers.Answer`, so leading space, finish reason and usage are
the same on every route. Knows no HTTP and no queue. One `ChatAnswer` is used by one task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model.request import FinishReason
from service.api.answers import Answer
from service.api.openai.errors import openai_error
from service.api.openai.responses import (
    ChatChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatDelta,
    ChatMessageFields,
    ChatUsage,
    ChunkChoice,
)
from service.messages import Delta, Finished
from service.schemas.responses import Problem

DONE = "[DONE]"


@dataclass(slots=True)
class ChatAnswer:
    """The answer to one chat, while it comes and when it is there.

    Attributes:
        answer: the same in native terms.
        created: unix time in seconds.
        fingerprint: names the weights.
        include_usage: whether a stream reports the usage.
    """

    answer: Answer
    created: int
    fingerprint: str
    include_usage: bool

    @property
    def id(self) -> str:
        """The completion's id."""
        return f"chatcmpl-{self.answer.id}"

    def opening(self) -> Sequence[Mapping[str, Any]]:
        """A chunk that says who speaks."""
        return [self._chunk(ChatDelta(role="assistant", content=""))]

    def take(self, index: int, event: Delta | Finished) -> Mapping[str, Any] | None:
        """Add an event; the chunk to stream, or None if it shows nothing new."""
        new = self.answer.take(index, event)
        return None if new is None else self._chunk(ChatDelta(content=new["chunk"]))

    def closing(self, *, preprocess_s: float, total_s: float) -> Sequence[Mapping[str, Any] | str]:
        """A chunk with the finish reason, one with the usage if asked for, and OpenAI's end of a stream."""
        whole = self.answer.whole(preprocess_s=preprocess_s, total_s=total_s)
        end = self._chunk(ChatDelta(), whole["finish_reason"])
        usage = [self._chunk(None, usage=_usage(whole))] if self.include_usage else []
        return [end, *usage, DONE]

    def failed(self, problem: Problem) -> Sequence[Mapping[str, Any]]:
        """The last event of a stream that fails in the middle; no end of the stream follows, so nobody misses it."""
        return [openai_error(problem).model_dump()]

    def whole(self, *, preprocess_s: float, total_s: float) -> Mapping[str, Any]:
        """The body of an answer that is not streamed."""
        whole = self.answer.whole(preprocess_s=preprocess_s, total_s=total_s)
        message = ChatMessageFields(role="assistant", content=whole["answer"])
        choice = ChatChoice(index=0, message=message, finish_reason=whole["finish_reason"])
        return ChatCompletion(
            object="chat.completion", choices=[choice], usage=_usage(whole), **self._head()
        ).model_dump()

    def _chunk(
        self, delta: ChatDelta | None, finish_reason: FinishReason | None = None, usage: ChatUsage | None = None
    ) -> dict[str, Any]:
        choices = [] if delta is None else [ChunkChoice(index=0, delta=delta, finish_reason=finish_reason)]
        reported: dict[str, Any] = {"usage": usage} if self.include_usage else {}  # null until the piece that has it
        chunk = ChatCompletionChunk(object="chat.completion.chunk", choices=choices, **self._head(), **reported)
        return chunk.model_dump(exclude_unset=True)

    def _head(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "created": self.created,
            "model": self.answer.model,
            "system_fingerprint": self.fingerprint,
        }


def _usage(whole: Mapping[str, Any]) -> ChatUsage:
    prompt, completion = whole["usage"]["prompt_tokens"], whole["usage"]["completion_tokens"]
    return ChatUsage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)
