"""Messages of a chat, field by field: who speaks, and the texts and images that were said.

Owns the shapes in which clients send these: OpenAI's chat and Responses parts, and an image's address with or without
an object around it. Knows no HTTP. Pure; safe from any thread.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from service.api.openai.ignored import HINT, IGNORED, Hint, NoEffect, OpenFields
from service.schemas.requests import Text

NO_TOOLS = "Empty or null only: Pheye calls no tools."
PARTS = {
    "text": "<text>", "input_text": "<text>", "output_text": "<text>",
    "image_url": "<image>", "input_image": "<image>",
    "refusal": "<refusal>",
}  # fmt: skip


class ImageUrl(OpenFields):
    """The address of an image."""

    url: str = Field(
        description="The image as a base64 data URI, `data:image/jpeg;base64,...`, the id of an uploaded one, or its "
        "http(s) URL, if the service fetches images from that host."
    )
    detail: Hint = Field(default=None, description=f"{IGNORED} How finely Pheye looks is fixed by the model.")


def _with_url(value: Any) -> Any:
    return {"url": value} if isinstance(value, str) else value


class TextPart(OpenFields):
    """A part of a message that is text."""

    type: Literal["text", "input_text", "output_text"] = Field(description="`text`, or the Responses API's names.")
    text: Text = Field(description="Up to 16384 characters.")


class RefusalPart(OpenFields):
    """A part of an assistant's message in which it refused."""

    type: Literal["refusal"]
    refusal: Text = Field(description="Up to 16384 characters.")

    @property
    def text(self) -> str:
        """The words of the refusal."""
        return self.refusal


class ImagePart(OpenFields):
    """A part of a user's message that is an image."""

    type: Literal["image_url", "input_image"] = Field(description="`image_url`, or the Responses API's name.")
    image_url: Annotated[ImageUrl, BeforeValidator(_with_url, json_schema_input_type=ImageUrl | str)] = Field(
        description="The address of the image, in an object or as it is."
    )
    detail: Hint = Field(default=None, description=IGNORED)


def _kind_of_part(part: Any) -> str | None:
    kind = part.get("type") if isinstance(part, dict) else getattr(part, "type", None)
    return PARTS.get(kind) if isinstance(kind, str) else None


def _kind_of_content(content: Any) -> str | None:
    return "<string>" if isinstance(content, str) else "<parts>" if isinstance(content, list) else None


Part = Annotated[
    Annotated[TextPart, Tag("<text>")]
    | Annotated[ImagePart, Tag("<image>")]
    | Annotated[RefusalPart, Tag("<refusal>")],
    Discriminator(
        _kind_of_part,
        custom_error_type="part",
        custom_error_message="only parts of type text and image_url (or input_text and input_image) are read",
    ),
]
Content = Annotated[
    Annotated[Text, Tag("<string>")] | Annotated[list[Part], Tag("<parts>")],
    Discriminator(_kind_of_content, custom_error_type="content", custom_error_message="must be a string or parts"),
]


def _no_call(value: Any) -> Any:
    if value:
        raise PydanticCustomError("unsupported", "must be empty or null: Pheye calls no tools")
    return value


NoCall = Annotated[Any, NoEffect(), BeforeValidator(_no_call)]


class Message(OpenFields):
    """A turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant"] = Field(
        description="Whose turn; the last one is the user's. `developer` is `system`."
    )
    content: Content | None = Field(
        default=None,
        validate_default=True,
        description="A text of up to 16384 characters, or parts of which one is the image. A user's image without "
        "text asks for a caption. Null or absent in an assistant's turn only, which is then left out.",
    )
    refusal: Text | None = Field(default=None, description="What an assistant said instead of `content`.")
    name: Hint = Field(default=None, description=HINT)
    audio: Hint = Field(default=None, description=HINT)
    tool_calls: NoCall = Field(default=None, description=NO_TOOLS)
    function_call: NoCall = Field(default=None, description=NO_TOOLS)

    @field_validator("content")
    @classmethod
    def _only_an_assistant_says_nothing(cls, content: Any, info: ValidationInfo) -> Any:
        if content in (None, []) and info.data.get("role") != "assistant":
            raise PydanticCustomError("content", "must be a string or parts")
        return content

    @property
    def parts(self) -> list[TextPart | ImagePart | RefusalPart]:
        """The parts of the message, none if it is a plain text."""
        return self.content if isinstance(self.content, list) else []

    @property
    def text(self) -> str:
        """The text of the message; those of its parts are lines, but for blank ones."""
        if isinstance(self.content, list):
            texts = (part.text for part in self.content if not isinstance(part, ImagePart))
            return "\n".join(text for text in texts if text.strip())
        return self.content or self.refusal or ""
