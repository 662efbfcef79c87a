"""Chat answers: the text and numbers of a native answer, in the shapes that OpenAI's clients expect.

Owns nothing of what the answer is: it wraps `service.api.answers.Answer`, so leading space, finish reason and usage are
the same on every route. Knows no HTTP and no queue. One `ChatAnswer` is used by one task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model.pixels.tiles import TiledImage
from model.request import FinishReason
from service.api.answers import Answer
from service.api.openai.errors import openai_error
from service.api.openai.logprobs import ChatLogprobs
from service.api.openai.responses import (
    ChatChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatDelta,
    ChatMessageFields,
    ChatUsage,
    ChunkChoice,
    LogprobFields,
    OpenAIError,
    PheyeFields,
)
from service.messages.from_worker import Delta, Finished
from service.schemas.responses import Problem, TimingFields

DONE = "[DONE]"


@dataclass(slots=True)
class ChatAnswer:
    """An answer to one chat, which grows as events come from its row.

    Attributes:
        answer: the same in native terms.
        created: unix time in seconds.
        fingerprint: names the weights.
        include_usage: whether a stream reports the usage.
        logprobs: those of its tokens, if they were asked for.
    """

    answer: Answer
    created: int
    fingerprint: str
    include_usage: bool
    logprobs: ChatLogprobs | None = None

    @property
    def id(self) -> str:
        """The id of the completion."""
        return f"chatcmpl-{self.answer.id}"

    @property
    def outside(self) -> int:
        """1 if the answer says that the image is outside the model's known world, else 0."""
        return self.answer.outside

    @property
    def texts(self) -> list[str]:
        """The text of the answer so far."""
        return self.answer.texts

    def timings(self, *, preprocess_s: float, total_s: float) -> TimingFields:
        """Tell where the time went, when the row has finished."""
        return self.answer.timings(preprocess_s=preprocess_s, total_s=total_s)

    def look_at(self, image: TiledImage) -> None:
        """Note the image that the answer is about."""
        self.answer.look_at(image)

    def opening(self) -> Sequence[ChatCompletionChunk]:
        """Build the first chunk of a stream, which names the role."""
        return [self._chunk(ChatDelta(role="assistant", content=""))]

    def take(self, index: int, event: Delta | Finished) -> ChatCompletionChunk | None:
        """Add an event and return the chunk to stream, or None if it shows nothing new."""
        new = self.answer.take(index, event)
        if self.logprobs is not None:
            self.logprobs.take(event)
        return None if new is None else self._chunk(ChatDelta(content=new.chunk), logprobs=self._new_logprobs())

    def closing(self, *, preprocess_s: float, total_s: float) -> Sequence[ChatCompletionChunk | str]:
        """Build the end of a stream: the finish reason, the usage if asked for, and `[DONE]`.

        White space is not shown where nothing follows it, so its tokens' log-probabilities may be left to the end.
        """
        pieces = [self._chunk(ChatDelta(), self.answer.finish_reason, logprobs=self._new_logprobs())]
        if self.include_usage:
            pieces.append(self._chunk(None, usage=self._usage()))
        pieces[-1].pheye = self._pheye()
        return [*pieces, DONE]

    def failed(self, problem: Problem) -> Sequence[OpenAIError]:
        """Build the last event of a stream that fails in the middle; no `[DONE]` follows, so nobody misses it."""
        return [openai_error(problem)]

    def whole(self, *, preprocess_s: float, total_s: float) -> ChatCompletion:
        """Build the body of an answer that is not streamed."""
        message = ChatMessageFields(role="assistant", content=self.answer.texts[0], refusal=None)
        told = None if self.logprobs is None else self.logprobs.all()
        choice = ChatChoice(index=0, message=message, finish_reason=self.answer.finish_reason, logprobs=told)
        return ChatCompletion(
            object="chat.completion", choices=[choice], usage=self._usage(), pheye=self._pheye(), **self._head()
        )

    def _new_logprobs(self) -> LogprobFields | None:
        return None if self.logprobs is None else self.logprobs.new()

    def _chunk(
        self,
        delta: ChatDelta | None,
        finish_reason: FinishReason | None = None,
        usage: ChatUsage | None = None,
        logprobs: LogprobFields | None = None,
    ) -> ChatCompletionChunk:
        asked: dict[str, Any] = {} if self.logprobs is None else {"logprobs": logprobs}  # absent unless asked for
        choices = [] if delta is None else [ChunkChoice(index=0, delta=delta, finish_reason=finish_reason, **asked)]
        reported: dict[str, Any] = {"usage": usage} if self.include_usage else {}  # null until the piece that has it
        return ChatCompletionChunk(object="chat.completion.chunk", choices=choices, **self._head(), **reported)

    def _usage(self) -> ChatUsage:
        prompt, completion = self.answer.usage.prompt_tokens, self.answer.usage.completion_tokens
        return ChatUsage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)

    def _pheye(self) -> PheyeFields:
        told = self.answer.about
        if self.answer.confidence is not None:
            told["confidence"] = self.answer.confidence
        return PheyeFields(**told)

    def _head(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "created": self.created,
            "model": self.answer.model,
            "system_fingerprint": self.fingerprint,
        }
