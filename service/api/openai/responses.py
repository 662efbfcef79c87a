"""Chat responses, field by field: models, completions, chunks of a stream, errors.

Owns the names OpenAI gave these fields and the words the documentation shows. Knows no HTTP. Pure; safe from any
thread.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from model.request import FinishReason
from service.schemas.responses import Confidence, ImageRead, Warnings

_FINISH = "`length` if max_tokens cut the answer short, else `stop`."
_CREATED = "Unix time in seconds at which the answer was begun."
_EXAMPLE: dict[str, JsonValue] = {
    "message": "temperature: must be at most 2",
    "type": "invalid_request_error",
    "param": "temperature",
    "code": "invalid_value",
}
_FINGERPRINT = "Names the weights: it changes when another checkpoint is served."


class ErrorFields(BaseModel):
    """The description of an error."""

    message: str = Field(
        description="What happened this time and what to do; starts with the field if one is at fault."
    )
    type: str = Field(
        description="`invalid_request_error`, `authentication_error`, `rate_limit_error` or `server_error`."
    )
    param: str | None = Field(description="The field at fault, such as `messages[0].content`, or null.")
    code: str | None = Field(description="A stable word for this kind of failure, such as `model_not_found`, or null.")


class OpenAIError(BaseModel):
    """A failure, as OpenAI clients expect it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"error": _EXAMPLE}]})

    error: ErrorFields


class ModelEntry(BaseModel):
    """A model that this service offers."""

    id: str = Field(description="Its name or an alias: what the field `model` of a request takes.")
    object: Literal["model"]
    created: int = Field(description="Unix time in seconds at which this service started.")
    owned_by: Literal["pheye"]


class ModelList(BaseModel):
    """The models that this service offers: always one, by its name and by each of its aliases."""

    object: Literal["list"]
    data: list[ModelEntry] = Field(description="The name under which it is served comes first.")


class ChatMessageFields(BaseModel):
    """The message that holds the answer."""

    role: Literal["assistant"]
    content: str = Field(description="The answer's text.")
    refusal: None = Field(default=None, description="Always null.")


class TopLogprobFields(BaseModel):
    """One of the most probable tokens in a place."""

    token: str = Field(description="Its text; bytes that are no whole character are written as `\\xf0`.")
    logprob: float = Field(description="Natural logarithm of its probability; -9999 or more.")
    bytes: list[int] = Field(description="Its bytes, which are UTF-8 only together with those of its neighbours.")


class TokenLogprobFields(TopLogprobFields):
    """A token of the answer."""

    top_logprobs: list[TopLogprobFields] = Field(description="As many as asked for, the most probable first.")


class LogprobFields(BaseModel):
    """The log-probabilities of the answer's tokens, as the model gave them before temperature and top_p."""

    content: list[TokenLogprobFields] = Field(
        description="Of each token whose text is in the answer, white space before it included; not of the end token."
    )
    refusal: None = Field(default=None, description="Always null.")


class ChatChoice(BaseModel):
    """The one answer to a request, which OpenAI calls a choice."""

    index: Literal[0]
    message: ChatMessageFields
    finish_reason: FinishReason = Field(description=_FINISH)
    logprobs: LogprobFields | None = Field(default=None, description="With `logprobs`, else null.")


class ChatUsage(BaseModel):
    """The token usage of an answer."""

    prompt_tokens: int = Field(description="Tokens of the prompt, image not included: it is no part of the sequence.")
    completion_tokens: int = Field(description="Tokens generated.")
    total_tokens: int = Field(description="Both together.")


class PheyeFields(BaseModel):
    """Fields of this service in a chat's answer, beside those that OpenAI defines."""

    confidence: Confidence = None
    image: ImageRead = None
    warnings: Warnings = []


class _Completion(BaseModel):
    id: str = Field(description="`chatcmpl-` and the request id, which is also in the X-Request-Id header.")
    created: int = Field(description=_CREATED)
    model: str = Field(description="Name of the model that answers.")
    system_fingerprint: str = Field(description=_FINGERPRINT)


class ChatCompletion(_Completion):
    """Answer to a chat, as a whole."""

    object: Literal["chat.completion"]
    choices: list[ChatChoice] = Field(description="One.")
    usage: ChatUsage
    pheye: PheyeFields = Field(description="Of this service, beside what OpenAI defines.")


class ChatDelta(BaseModel):
    """The text that a chunk adds to the answer."""

    role: Literal["assistant"] | None = Field(default=None, description="In the first piece only.")
    content: str | None = Field(default=None, description="More of the answer's text; not in the last piece.")


class ChunkChoice(BaseModel):
    """A piece of the one answer in a chunk of a stream."""

    index: Literal[0]
    delta: ChatDelta
    finish_reason: FinishReason | None = Field(description=f"Null until the last piece. {_FINISH}")
    logprobs: LogprobFields | None = Field(
        default=None, description="With `logprobs`: of the tokens that this piece adds, or null if it adds none."
    )


class ChatCompletionChunk(_Completion):
    """A piece of a streamed answer; the data of one server-sent event."""

    object: Literal["chat.completion.chunk"]
    choices: list[ChunkChoice] = Field(description="One, or none in the piece that reports the usage.")
    usage: ChatUsage | None = Field(
        default=None, description="With `stream_options.include_usage`: null, and the numbers in a piece of their own."
    )
    pheye: PheyeFields | None = Field(default=None, description="In the last piece only; of this service.")
