r"""Conversations: a whole chat becomes one instruction about one image, which is what Pheye takes.

Owns the rule, which `docs/clients.md` tells too. The texts of a message's parts are joined by line breaks. A single
message is the instruction, verbatim. A system message before it stands on lines of its own above it. With more turns,
each is a line that begins with `User: ` or `Assistant: `, and the last one, which must be the user's, is what is to be
answered. Pheye was trained on single instructions, so the fewer turns, the better. Pure; safe from any thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from service.api.openai.request import ImagePart, Message, TextPart
from service.errors import InvalidField, UnsupportedParameter

_SPEAKERS = {"user": "User: ", "assistant": "Assistant: "}


@dataclass(frozen=True, slots=True)
class Conversation:
    """A chat as Pheye takes it: the instruction, and the image as it was named."""

    instruction: str
    image_url: str


def fold(messages: Sequence[Message]) -> Conversation:
    """Fold a chat into one instruction and one image.

    Raises:
        InvalidField: there is no image, no text, or the last message is not the user's.
        UnsupportedParameter: there are several images, or one in a message that is not the user's.
    """
    if messages[-1].role != "user":
        raise InvalidField(f"messages.{len(messages) - 1}.role: the last message must be the user's")
    if not _text(messages[-1]).strip():
        raise InvalidField(f"messages.{len(messages) - 1}.content: no text; say what to do with the image")
    return Conversation(_instruction(messages), _image_url(messages))


def _instruction(messages: Sequence[Message]) -> str:
    system = [_text(message) for message in messages if message.role in ("system", "developer")]
    turns = [message for message in messages if message.role in _SPEAKERS]
    if len(turns) == 1:
        return "\n".join([*system, _text(turns[0])])
    return "\n".join([*system, *(_SPEAKERS[turn.role] + _text(turn) for turn in turns)])


def _text(message: Message) -> str:
    if isinstance(message.content, str):
        return message.content
    return "\n".join(part.text for part in message.content if isinstance(part, TextPart))


def _image_url(messages: Sequence[Message]) -> str:
    url: str | None = None
    for place, message, part in _images(messages):
        if message.role != "user":
            raise UnsupportedParameter(f"{place}: an image is read in a user's message only")
        if url not in (None, part.image_url.url):
            raise UnsupportedParameter(f"{place}: a second image; Pheye sees one image, which may be repeated")
        url = part.image_url.url
    if url is None:
        raise InvalidField("messages: no image; Pheye always answers about one, so add a part of type image_url")
    return url


def _images(messages: Sequence[Message]) -> Iterator[tuple[str, Message, ImagePart]]:
    for index, message in enumerate(messages):
        for number, part in enumerate(message.content):
            if isinstance(part, ImagePart):
                yield f"messages.{index}.content.{number}", message, part
