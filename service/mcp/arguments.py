"""Arguments of the MCP tools, field by field: what an agent's model may write, with the words that it reads.

Bounds are those of the HTTP API, which checks them again. Pure; safe from any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from model.prompt import AnswerStyle, CaptionLength, CaptionStyle
from service.schemas.requests import MAX_CHOICES, Checked, Choice, Text

IMAGE_FIELDS = ("image_path", "image_url", "image_base64", "image_id")


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class ImageArguments(Checked):
    """The image of a tool call, in one of several ways."""

    image_path: str | None = Field(
        default=None, description="Path of an image file on this machine, best an absolute one."
    )
    image_url: str | None = Field(default=None, description="http(s) URL of the image, or a data: URI.")
    image_base64: str | None = Field(default=None, description="The image file in base64.")
    image_id: str | None = Field(
        default=None, description="Id of an image that was uploaded to the service, img_ and more."
    )
    max_tokens: int | None = Field(default=None, ge=1, description="Most tokens of an answer; absent: the default.")

    @property
    def image(self) -> Mapping[str, str]:
        """The ways in which an image is given: one of them, if the call is right."""
        given = {name: getattr(self, name) for name in IMAGE_FIELDS}
        return {name: value for name, value in given.items() if value is not None}


class _Describing(ImageArguments):
    length: CaptionLength = Field(default="normal", description="short is one sentence, long several detailed ones.")
    style: CaptionStyle = Field(
        default="plain", description="scene_text tells the text visible in the image, in one sentence; not with long."
    )


class _Asking(ImageArguments):
    answer_style: AnswerStyle = Field(
        default="sentence", description="sentence, short for a word or phrase, choice for the letter of one of choices."
    )
    choices: Annotated[list[Choice], Field(min_length=2, max_length=MAX_CHOICES)] | None = Field(
        default=None, description="Allowed answers, 2 to 100: the answer is one of them, with the probability of each."
    )


_Questions = Annotated[list[Text], Field(min_length=1), BeforeValidator(_as_list)]


class CaptionArguments(_Describing):
    """Arguments of the tool `caption`."""


class AskArguments(_Asking):
    """Arguments of the tool `ask`."""

    questions: _Questions = Field(description="One or several questions about the image, answered in this order.")


class EstimateArguments(_Describing, _Asking):
    """Arguments of the tool `estimate`."""

    questions: _Questions | None = Field(default=None, description="Questions; absent: the cost of a caption.")


def input_schema(kind: type[ImageArguments], *, local: bool) -> dict[str, Any]:
    """Write the JSON schema of a tool's arguments, as plain as agents' models read it best.

    Args:
        kind: the arguments.
        local: whether files of this machine may be named.
    """
    schema = kind.model_json_schema()
    fields = {name: _without_null(field) for name, field in schema["properties"].items()}
    if not local:
        del fields["image_path"]
    return {
        "type": "object",
        "properties": fields,
        "required": schema.get("required", []),
        "additionalProperties": False,
    }


def _without_null(field: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a field that may be left out by the type that it has when it is there."""
    kinds = [kind for kind in field.get("anyOf", ()) if kind != {"type": "null"}]
    kept = {key: value for key, value in field.items() if key not in ("anyOf", "title")}
    if kept.get("default", 0) is None:
        del kept["default"]
    return {**(kinds[0] if kinds else {}), **kept}
