"""Chat requests: the body of `/v1/chat/completions`, field by field.

Owns what is taken, what is taken because it changes nothing, and what is refused because Pheye cannot do it. The bounds
of sampling are `service.schemas.requests`'. Knows no HTTP. Pure; safe from any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from service.client_policy import Priority
from service.errors import InvalidField, UnsupportedParameter
from service.plain_words import plain_words
from service.schemas.requests import (
    MAX_SEED,
    SHOWN_CHARS,
    SHOWN_ERRORS,
    Checked,
    SamplingFields,
    StopStrings,
    Text,
    near_name,
)

MAX_MESSAGES = 256
MAX_TOP_LOGPROBS = 20
HINT = "Taken and not used."


class ImageUrl(Checked):
    """The address of an image."""

    url: str = Field(description="The image as a base64 data URI, `data:image/jpeg;base64,...`.")
    detail: Literal["auto", "low", "high"] | None = Field(
        default=None, description="Taken and not used: how finely Pheye looks is fixed by the model."
    )


class TextPart(Checked):
    """A part of a message that is text."""

    type: Literal["text"]
    text: Text = Field(description="Up to 16384 characters.")


class ImagePart(Checked):
    """A part of a user's message that is an image."""

    type: Literal["image_url"]
    image_url: ImageUrl


def _kind_of_part(part: Any) -> str | None:
    kind = part.get("type") if isinstance(part, dict) else getattr(part, "type", None)
    return f"<{kind}>" if kind in ("text", "image_url") else None


def _kind_of_content(content: Any) -> str | None:
    return "<string>" if isinstance(content, str) else "<parts>" if isinstance(content, list) else None


Part = Annotated[
    Annotated[TextPart, Tag("<text>")] | Annotated[ImagePart, Tag("<image_url>")],
    Discriminator(
        _kind_of_part, custom_error_type="part", custom_error_message="only parts of type text and image_url are read"
    ),
]
Content = Annotated[
    Annotated[Text, Tag("<string>")] | Annotated[list[Part], Field(min_length=1), Tag("<parts>")],
    Discriminator(_kind_of_content, custom_error_type="content", custom_error_message="must be a string or parts"),
]


class Message(Checked):
    """A turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant"] = Field(
        description="Whose turn; the last one is the user's. `developer` is `system`."
    )
    content: Content = Field(description="A text of up to 16384 characters, or parts of which one is the image.")
    name: str | None = Field(default=None, description=HINT)
    refusal: None = Field(default=None, description="Null only, as in the answers of a chat.")
    tool_calls: None = Field(default=None, description="Null only: Pheye calls no tools.")


class StreamOptions(Checked):
    """Options of a stream."""

    include_usage: bool = Field(default=False, description="Report the usage in a piece of its own, at the end.")
    include_obfuscation: bool | None = Field(default=None, description=HINT)


class TextFormat(Checked):
    """The plain text format of an answer."""

    type: Literal["text"]


class _Taken(Checked):
    """Fields that Pheye makes use of, and hints that change nothing."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)] = Field(
        description="1 to 256 turns with one image among them. A single user's text is the instruction, verbatim."
    )
    model: str | None = Field(default=None, description="Name of the served model; anything else is 404.")
    stream: bool | None = Field(default=None, description="Answer as server-sent events while the text is generated.")
    stream_options: StreamOptions | None = Field(default=None, description="With `stream` only.")
    max_completion_tokens: int | None = Field(
        default=None,
        ge=1,
        description="Most tokens of the answer, 1 up to the model's context; absent: the service's default.",
    )
    max_tokens: int | None = Field(default=None, ge=1, description="The former name of `max_completion_tokens`.")
    temperature: float | None = Field(
        default=None,
        ge=0.0,
        le=2.0,
        description="Randomness, 0 to 2; absent: 0, which is greedy, and not OpenAI's 1.",
    )
    top_p: float | None = Field(
        default=None, gt=0.0, le=1.0, description="Probability mass to draw tokens from, above 0 up to 1; absent: 1."
    )
    seed: int | None = Field(
        default=None, ge=0, le=MAX_SEED, description="Makes sampling repeatable, 0 to 2**63 - 1; absent: random."
    )
    stop: StopStrings | None = Field(
        default=None, description="A string or up to 4 before the first of which the answer ends; not part of it."
    )
    logprobs: bool | None = Field(
        default=None,
        description="Tell each token's log-probability, as the model gave it before temperature and top_p.",
    )
    top_logprobs: int | None = Field(
        default=None,
        ge=0,
        le=MAX_TOP_LOGPROBS,
        description="With `logprobs`: tell as many of the most probable tokens in each place, 0 to 20.",
    )
    metadata: dict[str, str] | None = Field(default=None, description=HINT)
    user: str | None = Field(default=None, description=HINT)
    safety_identifier: str | None = Field(default=None, description=HINT)
    prompt_cache_key: str | None = Field(default=None, description=HINT)


_NO_TOOLS = "Null only: Pheye calls no tools."
_Zero = Annotated[float, Field(ge=0.0, le=0.0)]


class _Limited(Checked):
    """Fields of other models, with only those values that change nothing in Pheye."""

    n: Literal[1] | None = Field(default=None, description="1 only: a request has one answer.")
    response_format: TextFormat | None = Field(default=None, description='`{"type": "text"}` only: Pheye writes text.')
    modalities: Annotated[list[Literal["text"]], Field(min_length=1, max_length=1)] | None = Field(
        default=None, description='`["text"]` only: Pheye writes text.'
    )
    frequency_penalty: _Zero | None = Field(default=None, description="0 only.")
    presence_penalty: _Zero | None = Field(default=None, description="0 only.")
    logit_bias: None = Field(default=None, description="Null only.")
    tools: None = Field(default=None, description=_NO_TOOLS)
    tool_choice: Literal["none", "auto"] | None = Field(
        default=None, description="`none` or `auto` only: without tools."
    )
    parallel_tool_calls: bool | None = Field(default=None, description=HINT)
    functions: None = Field(default=None, description=_NO_TOOLS)
    function_call: Literal["none", "auto"] | None = Field(default=None, description="`none` or `auto` only.")
    audio: None = Field(default=None, description="Null only: Pheye writes text.")
    prediction: None = Field(default=None, description="Null only.")
    web_search_options: None = Field(default=None, description="Null only: Pheye does not search.")
    reasoning_effort: Literal["none"] | None = Field(default=None, description="`none` only: Pheye does not reason.")
    store: Literal[False] | None = Field(default=None, description="False only: nothing is stored.")
    service_tier: Literal["auto", "default", "flex", "priority"] | None = Field(
        default=None,
        description="`auto`, `default`, `flex` or `priority` only; `flex` yields to other requests, as the native "
        "`priority: bulk` does.",
    )


class ChatRequest(_Limited, _Taken):
    """A conversation about one image."""

    @model_validator(mode="after")
    def _fields_go_together(self) -> Self:
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            words = "max_tokens: the former name of max_completion_tokens; send one of them"
            raise PydanticCustomError("max_tokens", words)
        if self.top_logprobs and not self.logprobs:
            raise PydanticCustomError("top_logprobs", "top_logprobs: only with logprobs")
        if self.stream_options is not None and not self.stream:
            raise PydanticCustomError("stream_options", "stream_options: only with stream")
        return self

    @property
    def sampling(self) -> SamplingFields:
        """The sampling settings as the native routes have them, with every default."""
        return SamplingFields(
            max_tokens=self.max_completion_tokens or self.max_tokens,
            temperature=self.temperature or 0.0,
            top_p=self.top_p or 1.0,
            seed=self.seed,
            stop=self.stop,
        )

    @property
    def priority(self) -> Priority:
        """The priority, as the native routes have it."""
        return "bulk" if self.service_tier == "flex" else "interactive"

    @property
    def include_usage(self) -> bool:
        """True if a stream ends with the usage."""
        return self.stream_options is not None and self.stream_options.include_usage


def check_chat(fields: Mapping[str, Any]) -> ChatRequest:
    """Validate the fields of a chat.

    Raises:
        UnsupportedParameter: the first fault is a field that asks for what Pheye cannot do.
        InvalidField: anything else; the detail names the fields and never repeats a value.
    """
    try:
        return ChatRequest.model_validate(fields, strict=True)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        words = "; ".join(_in_words(problem) for problem in problems[:SHOWN_ERRORS])
        limited = bool(problems[0]["loc"]) and problems[0]["loc"][0] in _Limited.model_fields
        raise UnsupportedParameter(words) if limited else InvalidField(words) from None


def _in_words(problem: ErrorDetails) -> str:
    loc = [str(part)[:SHOWN_CHARS] for part in problem["loc"] if not str(part).startswith("<")]
    if not loc:
        return problem["msg"]  # a check across fields: its message starts with the field already
    name = ".".join(loc)
    if loc[0] in _Limited.model_fields:
        return f"{name}: {_Limited.model_fields[loc[0]].description}"
    if problem["type"] != "extra_forbidden":
        return f"{name}: {plain_words(problem)}"
    near = near_name(loc[-1], ChatRequest.model_fields) if len(loc) == 1 else None
    return f"{name}: unknown field; did you mean {near}?" if near else f"{name}: unknown field"
