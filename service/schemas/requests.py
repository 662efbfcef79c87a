"""Request bodies of the native routes, field by field, with their bounds.

Owns every bound that does not depend on the running model. Knows no HTTP: JSON, form fields and query parameters are
all checked by these same models. Pure; safe from any thread.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from model.prompt import AnswerStyle, CaptionLength, CaptionStyle, offered_answers
from service.configuration.client_policy import Priority
from service.configuration.plain_words import plain_words
from service.errors import InvalidField

MAX_TEXT_CHARS = 16_384  # of a question; far more than the largest context holds
MAX_CHOICES = 100
MAX_EXPLAINED = 4096  # words, and so heat maps, of all answers to a request; some 100 MB for the largest models
MAX_LETTERS = 26
MAX_SEED = 2**63 - 1
SHOWN_ERRORS = 5
SHOWN_CHARS = 64  # of a field name the client made up
NAMELESS = "[no-name]"  # a field whose name is empty, in errors and in headers


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS)]
Choice = Annotated[str, Field(min_length=1, max_length=1024), BeforeValidator(_stripped)]
StopString = Annotated[str, Field(min_length=1, max_length=256)]
StopStrings = Annotated[
    list[StopString], Field(max_length=4), BeforeValidator(_as_list, json_schema_input_type=str | list[StopString])
]


class Checked(BaseModel):
    """Checked fields of a request: unknown ones are refused, and no message repeats what was sent."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class SamplingFields(Checked):
    """Sampling settings: how the answer is generated."""

    max_tokens: int | None = Field(
        default=None,
        ge=1,
        description="Most tokens of an answer, 1 up to the model's context; absent: the service's default.",
    )
    temperature: float = Field(
        default=0.0, ge=0.0, le=2.0, allow_inf_nan=False, description="Randomness, 0 (greedy) to 2."
    )
    top_p: float = Field(
        default=1.0,
        gt=0.0,
        le=1.0,
        allow_inf_nan=False,
        description="Probability mass to draw tokens from, above 0 up to 1.",
    )
    seed: int | None = Field(
        default=None, ge=0, le=MAX_SEED, description="Makes sampling repeatable, 0 to 2**63 - 1; absent: random."
    )
    stop: StopStrings | None = Field(
        default=None,
        description="A string or up to 4 before the first of which the answer ends; not part of the answer.",
    )


class WithImage(Checked):
    """A request about an image, with the field that all of them have."""

    image_url: str | None = Field(
        default=None,
        description="The image as a base64 data URI, `data:image/jpeg;base64,...`, the id of an uploaded one, "
        "`img_...`, or its http(s) URL, if the service fetches images from that host.",
    )


class ImageUpload(WithImage):
    """Keep an image, to be named by its id."""


class _AboutAnImage(WithImage):
    model: str | None = Field(
        default=None, description="Name of the served model or an alias; anything else is refused."
    )
    stream: bool = Field(default=False, description="Answer as server-sent events while the text is generated.")
    priority: Priority = Field(
        default="interactive", description="`bulk` yields to other requests: for work that nobody waits for."
    )
    explain: bool = Field(
        default=False, description="Tell where the model looked: by layer, for the whole answer, and word by word."
    )
    settings: SamplingFields | None = Field(
        default=None, description="Sampling settings; in forms and queries a JSON object, or each by its name."
    )

    @property
    def sampling(self) -> SamplingFields:
        """The sampling settings, with every default."""
        return self.settings or SamplingFields()


class CaptionRequest(_AboutAnImage):
    """Describe an image."""

    length: CaptionLength = Field(
        default="normal", description="One sentence, a description, or several detailed sentences."
    )
    style: CaptionStyle = Field(
        default="plain", description="`scene_text` is one sentence with the text visible in the image; not with `long`."
    )

    @model_validator(mode="after")
    def _scene_text_is_one_sentence(self) -> Self:
        if self.style == "scene_text" and self.length == "long":
            raise PydanticCustomError("style", "style: scene_text is one sentence; it does not go with length long")
        return self


class VqaRequest(_AboutAnImage):
    """Ask one question, or several in one pass, about an image."""

    question: Text | None = Field(
        default=None, description="The instruction, verbatim; up to 16384 characters, may be empty."
    )
    questions: Annotated[list[Text], Field(min_length=1)] | None = Field(
        None, description="Several questions about the same image, instead of `question`; answers in the same order."
    )
    answer_style: AnswerStyle = Field(
        default="sentence",
        description="`sentence` asks verbatim, `short` for a word or phrase, `choice` for the letter of a choice.",
    )
    choices: Annotated[list[Choice], Field(min_length=2, max_length=MAX_CHOICES)] | None = Field(
        None,
        description="The answer is one of these, and nothing else. With answer_style `choice` 2 to 26 options, which "
        "the model is told, lettered from A: the answer is a letter. With `sentence` and `short` 2 to 100 texts, which "
        "it is not told: the answer is one of them, word for word. White space around them is dropped.",
    )

    @model_validator(mode="after")
    def _one_way_of_asking(self) -> Self:
        if (self.question is None) == (self.questions is None):
            raise PydanticCustomError("question", "question: send exactly one of question and questions")
        return self

    @model_validator(mode="after")
    def _choices_go_with_choice(self) -> Self:
        if self.answer_style == "choice" and self.choices is None:
            raise PydanticCustomError("choices", "choices: answer_style choice needs 2 to 26 of them")
        if self.answer_style == "choice" and self.choices is not None and len(self.choices) > MAX_LETTERS:
            raise PydanticCustomError(
                "choices", "choices: answer_style choice takes 2 to 26 of them, one for each letter"
            )
        return self

    @model_validator(mode="after")
    def _choices_are_different(self) -> Self:
        choices = self.choices or []
        if len(set(choices)) < len(choices):
            raise PydanticCustomError("choices", "choices: two of them are the same")
        if sum(map(len, choices)) > MAX_TEXT_CHARS:
            raise PydanticCustomError("choices", "choices: together they have more than 16384 characters")
        return self

    @property
    def asked(self) -> list[str]:
        """All questions, one or several."""
        return self.questions if self.questions is not None else [self.question or ""]

    @property
    def offered(self) -> tuple[str, ...]:
        """The answers that the choices allow; none if any answer will do."""
        return offered_answers(self.answer_style, self.choices or ())


class EstimateRequest(CaptionRequest, VqaRequest):
    """A request for the cost of a caption, or of an answer if there is a question; the image may be left out."""

    @model_validator(mode="after")
    def _one_way_of_asking(self) -> Self:
        if self.question is not None and self.questions is not None:
            raise PydanticCustomError("question", "question: send one of question and questions, or neither")
        for name in ("answer_style", "choices") if self.is_caption else ("length", "style"):
            if name in self.model_fields_set:
                kind = "questions" if self.is_caption else "captions"
                raise PydanticCustomError("kind", "{name}: is for {kind}", {"name": name, "kind": kind})
        return self

    @property
    def is_caption(self) -> bool:
        """True if the estimate is for a caption."""
        return self.question is None and self.questions is None


Asked = TypeVar("Asked", bound=WithImage)
AnyChecked = TypeVar("AnyChecked", bound=Checked)


def check(kind: type[AnyChecked], fields: Mapping[str, Any], *, strict: bool) -> AnyChecked:
    """Validate the fields of a request.

    Args:
        kind: the request's model.
        fields: what the client sent.
        strict: whether numbers and booleans must have that type (JSON) or may be text (forms and queries).

    Raises:
        InvalidField: something is wrong; the detail names the fields and never repeats a value.
    """
    try:
        return kind.model_validate(fields, strict=strict)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        shown = [_in_words(kind, problem, strict=strict) for problem in problems[:SHOWN_ERRORS]]
        more = [f"and {len(problems) - SHOWN_ERRORS} more"] if len(problems) > SHOWN_ERRORS else []
        raise InvalidField("; ".join(shown + more)) from None


def shown_name(name: str) -> str:
    """Return a field's name, which a client made up, as an error shows it."""
    return name[:SHOWN_CHARS] or NAMELESS


def field_path(parts: Iterable[int | str]) -> str:
    """Write the place of a field as programs do.

    >>> field_path(["messages", 0, "content", 1, "image_url"])
    'messages[0].content[1].image_url'
    """
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{shown_name(part)}" for part in parts)
    return path.removeprefix(".")


def _in_words(kind: type[BaseModel], problem: ErrorDetails, *, strict: bool) -> str:
    if not problem["loc"]:
        return problem["msg"]  # a check across fields: its message starts with the field already
    name = field_path(problem["loc"])
    if problem["type"] != "extra_forbidden":
        # In a form or a query, somebody has probably put all of them into one, with commas between.
        hint = "; repeat the field for each" if problem["type"] == "too_short" and not strict else ""
        return f"{name}: {plain_words(problem)}{hint}"
    if name in SamplingFields.model_fields and "settings" in kind.model_fields:
        return f"{name}: unknown field; it is one of the settings, settings.{name}"
    known = list(SamplingFields.model_fields if problem["loc"][0] == "settings" else kind.model_fields)
    near = near_name(str(problem["loc"][-1]), known)
    hint = f"did you mean {near}?" if near else f"known are {', '.join(known)}"
    return f"{name}: unknown field; {hint}"


def near_name(name: str, known: Iterable[str]) -> str | None:
    """Guess the known name that a made-up one was probably meant to be."""
    near = difflib.get_close_matches(name[:SHOWN_CHARS], list(known), n=1)
    return near[0] if near else None
