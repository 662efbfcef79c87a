"""Chat requests: the body of `/v1/chat/completions`, field by field.

Owns what is taken, what is taken and ignored because it changes nothing, and what is refused because Pheye cannot do
it. The bounds of sampling are `service.schemas.requests`'. Knows no HTTP. Pure; safe from any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from service.api.openai.ignored import (
    HINT,
    IGNORED,
    Hint,
    Ignored,
    IgnoredField,
    NoEffect,
    OpenFields,
    ignored_fields,
    refuse_ignored,
)
from service.api.openai.turns import NO_TOOLS, Message
from service.configuration.client_policy import Priority
from service.configuration.plain_words import plain_words
from service.errors import InvalidField, UnsupportedParameter
from service.schemas.requests import MAX_SEED, SHOWN_ERRORS, SamplingFields, StopString, field_path

MAX_MESSAGES = 256
MAX_TOP_LOGPROBS = 20
ANY = -1  # as a seed: random; as a number of tokens: the service's default
# Fields of other servers (vLLM, SGLang, llama.cpp) that prescribe the form of the answer.
FORMS = (
    "guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs", "grammar", "json_schema",
    "regex", "ebnf",
)  # fmt: skip


class StreamOptions(OpenFields):
    """Options of a stream."""

    include_usage: bool = Field(default=False, description="Report the usage in a piece of its own, at the end.")
    include_obfuscation: Hint = Field(default=None, description=HINT)


class TextFormat(OpenFields):
    """The plain text format of an answer."""

    type: Literal["text"]


def _without_empty(value: Any) -> Any:
    listed = [value] if isinstance(value, str) else value
    return [each for each in listed if each != ""] if isinstance(listed, list) else listed


def _not_zero(value: int) -> int:
    if value == 0:
        raise PydanticCustomError("tokens", "must be 1 or more, or -1 for the service's default")
    return value


ChatStops = Annotated[
    list[StopString], Field(max_length=4), BeforeValidator(_without_empty, json_schema_input_type=str | list[str])
]
Tokens = Annotated[int, Field(ge=ANY), BeforeValidator(_not_zero)]


class _Taken(OpenFields):
    """Fields that Pheye makes use of."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)] = Field(
        description="1 to 256 turns with one image among them. A single user's text is the instruction, verbatim."
    )
    model: str | None = Field(default=None, description="Name of the served model or an alias; anything else is 404.")
    stream: bool | None = Field(default=None, description="Answer as server-sent events while the text is generated.")
    stream_options: StreamOptions | None = Field(default=None, description="Ignored without `stream`.")
    max_completion_tokens: Tokens | None = Field(
        default=None,
        description="Most tokens of the answer, 1 up to the model's context; -1 or absent: the service's default.",
    )
    max_tokens: Tokens | None = Field(
        default=None, description="The former name of `max_completion_tokens`; if both are sent, they must be equal."
    )
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
        default=None,
        ge=-(2**63),
        lt=2**64,
        description="Makes sampling repeatable, any integer of 64 bits, of which the lower 63 count; -1 or absent: "
        "random.",
    )
    stop: ChatStops | None = Field(
        default=None,
        description="A string or up to 4 before the first of which the answer ends; not part of it. Empty ones are "
        "left out.",
    )
    service_tier: Annotated[str | None, NoEffect(("flex", "auto", "default", "priority"))] = Field(
        default=None,
        description="`flex` yields to other requests, as the native `priority: bulk` does; others change nothing.",
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


class _Limited(OpenFields):
    """Fields that would change the answer, with only those values that change nothing in Pheye."""

    n: Literal[1] | None = Field(default=None, description="1 only: a request has one answer.")
    response_format: TextFormat | None = Field(default=None, description='`{"type": "text"}` only: Pheye writes text.')
    modalities: Annotated[list[Literal["text"]], Field(min_length=1, max_length=1)] | None = Field(
        default=None, description='`["text"]` only: Pheye writes text.'
    )
    logit_bias: Annotated[Annotated[dict[str, Any], Field(max_length=0)] | None, NoEffect()] = Field(
        default=None, description="Empty or null only: its token numbers are another model's."
    )
    tools: Ignored = Field(default=None, description=f"{NO_TOOLS} Ignored with `tool_choice: none`.")
    tool_choice: Literal["none", "auto"] | None = Field(
        default=None, description="`none` or `auto` only: without tools."
    )
    functions: Ignored = Field(default=None, description=f"{NO_TOOLS} Ignored with `function_call: none`.")
    function_call: Literal["none", "auto"] | None = Field(default=None, description="`none` or `auto` only.")
    audio: None = Field(default=None, description="Null only: Pheye writes text.")
    web_search_options: None = Field(default=None, description="Null only: Pheye does not search.")
    moderation: None = Field(default=None, description="Null only: Pheye judges no content.")


class _Ignored(OpenFields):
    """Fields that ask for nothing Pheye cannot do: hints, and nuances of how other models find their words."""

    metadata: Hint = Field(default=None, description=HINT)
    user: Hint = Field(default=None, description=HINT)
    safety_identifier: Hint = Field(default=None, description=HINT)
    prompt_cache_key: Hint = Field(default=None, description=HINT)
    parallel_tool_calls: Hint = Field(default=None, description=HINT)
    prompt_cache_options: Ignored = Field(default=None, description=IGNORED)
    prompt_cache_retention: Ignored = Field(default=None, description=IGNORED)
    prediction: Ignored = Field(default=None, description=IGNORED)
    verbosity: Ignored = Field(default=None, description=IGNORED)
    reasoning_effort: Annotated[Any, NoEffect(("none",))] = Field(default=None, description=IGNORED)
    store: Annotated[Any, NoEffect((False,))] = Field(default=None, description=f"{IGNORED} Nothing is stored.")
    frequency_penalty: Annotated[Any, NoEffect((0,))] = Field(default=None, description=IGNORED)
    presence_penalty: Annotated[Any, NoEffect((0,))] = Field(default=None, description=IGNORED)


class ChatRequest(_Ignored, _Limited, _Taken):
    """A conversation about one image."""

    @model_validator(mode="after")
    def _fields_go_together(self) -> Self:
        if None not in (self.max_tokens, self.max_completion_tokens) and self.max_tokens != self.max_completion_tokens:
            words = "max_tokens: the former name of max_completion_tokens; send one of them, or both equal"
            raise PydanticCustomError("max_tokens", words)
        if self.top_logprobs and not self.logprobs:
            raise PydanticCustomError("top_logprobs", "top_logprobs: only with logprobs")
        return self

    @model_validator(mode="after")
    def _nothing_is_asked_that_pheye_cannot_do(self) -> Self:
        for name, choice in (("tools", self.tool_choice), ("functions", self.function_call)):
            if getattr(self, name) and choice != "none":
                raise PydanticCustomError("unsupported", "{name}: {why}", {"name": name, "why": NO_TOOLS})
        for name in FORMS:
            if (self.model_extra or {}).get(name) is not None:
                why = "Null only: Pheye writes text in no given form."
                raise PydanticCustomError("unsupported", "{name}: {why}", {"name": name, "why": why})
        return self

    @property
    def sampling(self) -> SamplingFields:
        """The sampling settings as the native routes have them, with every default."""
        tokens = self.max_completion_tokens or self.max_tokens
        return SamplingFields(
            max_tokens=None if tokens == ANY else tokens,
            temperature=self.temperature or 0.0,
            top_p=self.top_p or 1.0,
            seed=None if self.seed is None or self.seed == ANY else self.seed & MAX_SEED,
            stop=self.stop or None,
        )

    @property
    def priority(self) -> Priority:
        """The priority, as the native routes have it."""
        return "bulk" if self.service_tier == "flex" else "interactive"

    @property
    def include_usage(self) -> bool:
        """True if a stream ends with the usage."""
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def ignored(self) -> list[IgnoredField]:
        """The fields that were sent and have no effect."""
        found = list(ignored_fields(self))
        if self.stream_options is not None and not self.stream:
            found.append(IgnoredField("stream_options", known=True, hint=False))
        if self.stop == []:
            found.append(IgnoredField("stop", known=True, hint=False))
        return found


def check_chat(fields: Mapping[str, Any], *, strict: bool = False) -> ChatRequest:
    """Validate the fields of a chat.

    Args:
        fields: what the client sent.
        strict: whether to refuse what would be ignored.

    Raises:
        UnsupportedParameter: the first fault is a field that asks for what Pheye cannot do.
        InvalidField: anything else; the detail names the fields and never repeats a value.
    """
    try:
        asked = ChatRequest.model_validate(fields, strict=True)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        words = "; ".join(_in_words(problem) for problem in problems[:SHOWN_ERRORS])
        raise UnsupportedParameter(words) if _is_limit(problems[0]) else InvalidField(words) from None
    if strict:
        refuse_ignored(asked.ignored, ChatRequest.model_fields)
    return asked


def _is_limit(problem: ErrorDetails) -> bool:
    return problem["type"] == "unsupported" or (bool(problem["loc"]) and problem["loc"][0] in _Limited.model_fields)


def _in_words(problem: ErrorDetails) -> str:
    loc = [part for part in problem["loc"] if not str(part).startswith("<")]
    if not loc:
        return problem["msg"]  # a check across fields: its message starts with the field already
    name = field_path(loc)
    limit = _Limited.model_fields.get(str(loc[0]))
    return f"{name}: {plain_words(problem) if limit is None else limit.description}"
