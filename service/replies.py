"""What a client gets back: answers, failures, and what the service says of itself, field by field.

Owns the units and words that the documentation shows. Knows no HTTP. Pure; safe from any thread.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from model.request import FinishReason
from service.explanations import ExplanationFields


class UsageFields(BaseModel):
    """What the answer cost."""

    prompt_tokens: int = Field(description="Tokens of the prompts, image not included.")
    completion_tokens: int = Field(description="Tokens generated.")
    image_tokens: int = Field(description="Vision tokens of the image, counted once.")
    image_tiles: int = Field(description="Tiles the image was cut into, counted once.")
    image_features_cached: bool = Field(description="The vision encoder did not have to run.")


class TimingFields(BaseModel):
    """Where the time went; for several questions the longest of each."""

    queue: float = Field(description="Seconds waited for a slot.")
    preprocess: float = Field(description="Seconds of decoding and tiling the image.")
    encode: float = Field(description="Seconds in the vision encoder.")
    prefill: float = Field(description="Seconds of reading the prompt.")
    decode: float = Field(description="Seconds of generating.")
    total: float = Field(description="Seconds from the request's arrival to its last token.")


class _Answered(BaseModel):
    id: str = Field(description="The request id, also in the X-Request-Id header.")
    model: str = Field(description="Name of the model that answered.")
    finish_reason: FinishReason = Field(description="`length` if max_tokens cut an answer short, else `stop`.")
    usage: UsageFields
    timings: TimingFields


class CaptionAnswer(_Answered):
    """A caption."""

    caption: str
    explanation: ExplanationFields | None = Field(default=None, description="With `explain`.")


class VqaAnswer(_Answered):
    """An answer, or answers in the order of the questions."""

    answer: str | None = Field(default=None, description="With `question`.")
    answers: list[str] | None = Field(default=None, description="With `questions`.")
    finish_reasons: list[FinishReason] | None = Field(default=None, description="With `questions`, one for each.")
    explanation: ExplanationFields | None = Field(default=None, description="With `question` and `explain`.")
    explanations: list[ExplanationFields] | None = Field(
        default=None, description="With `questions` and `explain`, one for each."
    )


class Problem(BaseModel):
    """A failure (RFC 9457)."""

    type: str = Field(description="A stable relative URI, /errors/...; about:blank when the status says it all.")
    title: str = Field(description="The same words for every failure of this type.")
    status: int = Field(description="HTTP status.")
    detail: str = Field(description="What happened this time and what to do; starts with the field if one is at fault.")
    instance: str = Field(description="/requests/ and the request id.")


class ServiceCard(BaseModel):
    """What this service is."""

    name: Literal["pheye"]
    version: str
    model: str | None = Field(description="Name of the served model; null while it loads.")
    links: dict[str, str]


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"]


class ReadyCard(BaseModel):
    """New requests are accepted, and by what."""

    status: Literal["ready"]
    model: str
    device: str
    dtype: str
    parameters: int
    slots: int = Field(description="Answers one worker generates at the same time.")
    context_tokens: int = Field(description="Tokens of prompt and answer together.")
    image_tiles: int
    image_tokens: int
