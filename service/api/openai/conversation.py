r"""Conversations: a whole chat becomes one instruction about one image, which is what Pheye takes.

Owns the rule, which `docs/clients.md` tells too. The texts of a message's parts are joined by line breaks. A single
message is the instruction, verbatim; an image without a text asks for a caption. A system message before it stands on
lines of its own above it. With more turns, each is a line that begins with `User: ` or `Assistant: `, and the last one,
which must be the user's, is what is to be answered. What says nothing - a turn, a system message, a part - is left out.
Pheye was trained on single instructions, so the fewer turns, the better. Pure; safe from any thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from model.prompt import caption_instruction
from service.api.openai.turns import ImagePart, Message
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
        InvalidField: there is no image, the last message is not the user's, or it has neither text nor image.
        UnsupportedParameter: there are several images, or one in a message that is not the user's.
    """
    last = messages[-1]
    if last.role != "user":
        raise InvalidField(f"messages[{len(messages) - 1}].role: the last message must be the user's")
    if not last.text.strip() and not _has_image(last):
        raise InvalidField(f"messages[{len(messages) - 1}].content: no text; say what to do with the image")
    return Conversation(_instruction(messages), _image_url(messages))


def _instruction(messages: Sequence[Message]) -> str:
    system = [each.text for each in messages if each.role in ("system", "developer") and each.text.strip()]
    turns = [message for message in messages if message.role in _SPEAKERS]
    said = [(turn.role, _said(turn, turns[place + 1 : place + 2])) for place, turn in enumerate(turns)]
    said = [(role, text) for role, text in said if text.strip()]
    if len(said) == 1:
        return "\n".join([*system, said[0][1]])
    return "\n".join([*system, *(_SPEAKERS[role] + text for role, text in said)])


def _said(turn: Message, following: Sequence[Message]) -> str:
    """Return the words of a turn, which are a caption's if it is an image that the user says nothing more about."""
    if turn.text.strip() or not _has_image(turn) or (following and following[0].role == "user"):
        return turn.text
    return caption_instruction()


def _has_image(message: Message) -> bool:
    return any(isinstance(part, ImagePart) for part in message.parts)


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
        for number, part in enumerate(message.parts):
            if isinstance(part, ImagePart):
                yield f"messages[{index}].content[{number}]", message, part
