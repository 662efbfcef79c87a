"""Large images of a tool call, kept out of the message while the SDK handles it.

The SDK and the tools keep a call's arguments until it is answered, which would be copies of the image beside those that
answering needs. So they see a short mark, and the request that is made of the call gets the image. Pure; event loop.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

LARGE_CHARS = 64 * 1024
FIELDS = ("image_base64", "image_url")  # both become the field image_url of a request


class HeldImages:
    """The large images of one message, by the marks that stand for them."""

    def __init__(self) -> None:
        self._by_mark: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._by_mark)

    def hold(self, image: str) -> str:
        """Keep an image, and return the mark to write in its place."""
        mark = f"held:{uuid.uuid4().hex}"
        self._by_mark[mark] = image
        return mark

    def put_back(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a request's fields with the image that their mark stands for, which is kept no longer."""
        url = fields.get("image_url")
        image = self._by_mark.pop(url, None) if isinstance(url, str) else None
        return fields if image is None else {**fields, "image_url": image}


def take_images(body: bytes, message: dict[str, Any]) -> tuple[bytes, HeldImages]:
    """Take the large images out of a message's arguments, and return it as bytes again, with what was taken.

    Args:
        body: the message as it came, which is returned if nothing is taken.
        message: the same, parsed; changed.
    """
    held = HeldImages()
    params = message.get("params")
    arguments = params.get("arguments") if isinstance(params, dict) else None
    if not isinstance(arguments, dict):
        return body, held
    for name in FIELDS:
        value = arguments.get(name)
        if isinstance(value, str) and len(value) > LARGE_CHARS and not value.isspace():
            arguments[name] = held.hold(value)
    return (to_json(message), held) if held else (body, held)
