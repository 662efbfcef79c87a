"""Response bodies of the native routes, field by field: answers, failures, the service's own description.

Owns the units and words that the documentation shows. Knows no HTTP. Pure; safe from any thread.
"""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

from pydantic import AfterValidator, BaseModel, Field

from model.pixels.tiles import ImageFacts
from model.request import FinishReason
from service.schemas.explanation import ExplanationFields

# To the microsecond: what a clock says beyond it means nothing.
Seconds = Annotated[float, AfterValidator(lambda value: round(value, 6))]


class UsageFields(BaseModel):
    """The token usage of an answer."""

    prompt_tokens: int = Field(description="Tokens of the prompts, image not included.")
    completion_tokens: int = Field(description="Tokens generated.")
    image_tokens: int = Field(description="Vision tokens of the image, counted once.")
    image_tiles: int = Field(description="Tiles the image was cut into, counted once.")
    image_tiles_cached: int = Field(
        description="Tiles that did not have to be encoded: they equal tiles of this or an earlier image."
    )
    image_features_cached: bool = Field(description="No tile had to be encoded: the vision encoder did not run.")


class TimingFields(BaseModel):
    """The time spent on an answer, phase by phase; for several questions the longest of each.

    What a worker that died spent on it is in the total alone.
    """

    queue: Seconds = Field(description="Seconds waited for a slot.")
    preprocess: Seconds = Field(description="Seconds of fetching, decoding and tiling the image.")
    encode: Seconds = Field(description="Seconds in the vision encoder.")
    prefill: Seconds = Field(description="Seconds of reading the prompt.")
    decode: Seconds = Field(description="Seconds of generating.")
    total: Seconds = Field(description="Seconds from the request's arrival to its last token.")


class DescribedImage(Protocol):
    """Size and facts of an image, whatever else it has."""

    @property
    def width_px(self) -> int:
        """Width in pixels, upright."""

    @property
    def height_px(self) -> int:
        """Height in pixels, upright."""

    @property
    def facts(self) -> ImageFacts:
        """Facts about its file."""


class ImageFields(BaseModel):
    """The image of a request, as its file was read."""

    format: str = Field(description="`JPEG`, `PNG`, `WEBP`, `AVIF`, `HEIC`, `GIF`, `BMP` or `TIFF`, by its content.")
    width: int = Field(description="Width in pixels, upright.")
    height: int = Field(description="Height in pixels, upright.")
    frames: int = Field(description="Frames or pages of the file, counted up to 10,000; the first is read.")
    has_transparency: bool = Field(description="Some pixels are not opaque; they were laid on white.")

    @classmethod
    def of(cls, image: DescribedImage) -> ImageFields:
        """Describe an image."""
        facts = image.facts
        return cls(
            format=facts.format,
            width=image.width_px,
            height=image.height_px,
            frames=facts.frames,
            has_transparency=facts.has_transparency,
        )


Id = Annotated[str, Field(description="The request id, also in the X-Request-Id header.")]
ModelName = Annotated[str, Field(description="Name of the model that answered.")]
OverallReason = Annotated[FinishReason, Field(description="`length` if max_tokens cut an answer short, else `stop`.")]
Reasons = Annotated[list[FinishReason] | None, Field(description="With `questions`, one for each.")]
Confidence = Annotated[
    float | None,
    Field(
        description="Mean natural logarithm of the probability of each token generated, the end token included, before "
        "temperature and top_p; 0 is certain. Of all answers together."
    ),
]
Confidences = Annotated[list[float] | None, Field(description="With `questions`, one for each.")]
Usage = Annotated[UsageFields, Field(description="What the answer cost.")]
Timings = Annotated[TimingFields, Field(description="Where the time went.")]
ImageRead = Annotated[ImageFields | None, Field(description="What the image's file is.")]
Warnings = Annotated[
    list[str],
    Field(
        description="Stable words, none as a rule; `image_end_missing`: the end of the image's file is missing, and "
        "what is there was read; `outside_known_world`: the model says that it does "
        "not know what the image shows, or would say so if it were not held to choices, which mean nothing then."
    ),
]
WarningsByQuestion = Annotated[
    list[list[str]] | None, Field(description="With `questions`, the warnings about each answer alone.")
]
Explanations = Annotated[
    list[ExplanationFields] | None, Field(description="With `questions` and `explain`, one for each.")
]


class ChoiceFields(BaseModel):
    """One of the choices of a question."""

    letter: str | None = Field(default=None, description="With answer_style `choice`: what the answer would be.")
    text: str = Field(description="The choice.")
    probability: float = Field(
        description="Probability that the model answers exactly this, divided by the sum over all choices; before "
        "temperature and top_p."
    )


Choices = Annotated[list[ChoiceFields] | None, Field(description="With one question and `choices`, in their order.")]
ChoicesByQuestion = Annotated[
    list[list[ChoiceFields]] | None, Field(description="With `questions` and `choices`, the choices of each.")
]


class CaptionAnswer(BaseModel):
    """A caption of an image."""

    id: Id
    model: ModelName
    caption: str = Field(description="The text.")
    finish_reason: OverallReason
    confidence: Confidence = None
    explanation: ExplanationFields | None = Field(default=None, description="With `explain`.")
    image: ImageRead = None
    warnings: Warnings = []
    usage: Usage
    timings: Timings


class VqaAnswer(BaseModel):
    """An answer, or answers in the order of the questions."""

    id: Id
    model: ModelName
    answer: str | None = Field(default=None, description="With `question`.")
    answers: list[str] | None = Field(default=None, description="With `questions`.")
    finish_reason: OverallReason
    finish_reasons: Reasons = None
    confidence: Confidence = None
    confidences: Confidences = None
    choices: Choices = None
    choices_by_question: ChoicesByQuestion = None
    explanation: ExplanationFields | None = Field(default=None, description="With `question` and `explain`.")
    explanations: Explanations = None
    image: ImageRead = None
    warnings: Warnings = []
    warnings_by_question: WarningsByQuestion = None
    usage: Usage
    timings: Timings


class StreamChunk(BaseModel):
    """A new piece of text; the data of one server-sent event."""

    chunk: str = Field(description="Text that follows what came before.")
    index: int | None = Field(default=None, description="With `questions`: which of the answers it belongs to, from 0.")


class StreamEnd(BaseModel):
    """The data of the last server-sent event of a stream."""

    completed: Literal[True] = Field(description="Nothing follows.")
    id: Id
    model: ModelName
    finish_reason: OverallReason
    finish_reasons: Reasons = None
    confidence: Confidence = None
    confidences: Confidences = None
    choices: Choices = None
    choices_by_question: ChoicesByQuestion = None
    explanation: ExplanationFields | None = Field(default=None, description="With one answer and `explain`.")
    explanations: Explanations = None
    image: ImageRead = None
    warnings: Warnings = []
    warnings_by_question: WarningsByQuestion = None
    usage: Usage
    timings: Timings


class ImageCard(BaseModel):
    """An image that requests may name by its id."""

    id: str = Field(description="`img_` and a SHA-256 of the decoded pixels: the same image has the same id.")
    width_px: int = Field(description="Width as decoded, in pixels.")
    height_px: int = Field(description="Height as decoded, in pixels.")
    image_tiles: int = Field(description="Tiles the image was cut into.")
    image_tokens: int = Field(description="Vision tokens of the image.")
    held_bytes: int = Field(description="Bytes it counts for in the store.")
    expires_in_s: float = Field(description="Seconds until it is dropped; uploading it again begins anew.")
    features_resident: bool = Field(description="A question now would not have to wait for the vision encoder.")
    image: ImageFields
    warnings: Warnings


class ImageList(BaseModel):
    """The images of one key."""

    images: list[ImageCard] = Field(description="Most recently used last.")


class Problem(BaseModel):
    """A description of a failure (RFC 9457)."""

    type: str = Field(description="A stable relative URI, /errors/...; about:blank when the status says it all.")
    title: str = Field(description="The same words for every failure of this type.")
    status: int = Field(description="HTTP status.")
    detail: str = Field(description="What happened this time and what to do; starts with the field if one is at fault.")
    instance: str = Field(description="/requests/ and the request id.")


class StreamFailure(BaseModel):
    """The data of the last server-sent event of a stream that fails after its first byte."""

    error: Problem = Field(description="What went wrong.")
    completed: Literal[True] = Field(description="Nothing follows.")
