"""Requests of the MCP tools to the HTTP API, wherever it is: in this process, or at an address.

Owns what a tool needs of a service, and the words of its refusals. Event loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from service.configuration.plain_words import DETAIL_CHARS, plain_value
from service.images import DIGEST_HEADER, digest_of

Fields = Mapping[str, Any]


class ToolError(Exception):
    """A tool gave no answer; the message says why and what to do, for the agent's model to read."""


@dataclass(frozen=True, slots=True)
class SentImage:
    """An image as it is sent to the service.

    Attributes:
        argument: what the agent called it, for errors: a field's name, or the path of a file.
        url: as the field `image_url` takes it: a data URI, base64, an id or a link.
        file: the bytes of a file instead.
    """

    argument: str
    url: str | None = None
    file: bytes | None = None


class CaptionService(Protocol):
    """A service that answers requests of the HTTP API."""

    async def post(self, path: str, fields: Fields, file: bytes | None) -> httpx.Response:
        """Send a request, as a form if there is a file and else as JSON.

        Raises:
            ToolError: there is no service to be asked.
        """


def request_of(path: str, fields: Fields, file: bytes | None) -> dict[str, Any]:
    """Build the arguments of `httpx.AsyncClient.request`."""
    if file is None:
        return {"method": "POST", "url": path, "json": dict(fields)}
    flat = {**{name: value for name, value in fields.items() if name != "settings"}, **fields.get("settings", {})}
    headers = {DIGEST_HEADER: digest_of(file)}
    return {"method": "POST", "url": path, "data": flat, "files": {"image": ("image", file)}, "headers": headers}


async def answered(service: CaptionService, path: str, fields: Fields, image: SentImage | None) -> bytes:
    """Send a request and return the body of its answer.

    Raises:
        ToolError: it was refused, or failed.
    """
    file = None if image is None else image.file
    sent = dict(fields) if image is None or image.url is None else {**fields, "image_url": image.url}
    response = await service.post(path, sent, file)
    if response.status_code == httpx.codes.OK:
        return response.content
    raise ToolError(_words(response, image))


def _words(response: httpx.Response, image: SentImage | None) -> str:
    """Say why a request was refused, with the names that the agent knows."""
    try:
        detail = plain_value(response.json()["detail"], DETAIL_CHARS)
    except (ValueError, KeyError, TypeError, RecursionError):  # a proxy in between
        detail = f"HTTP {response.status_code} {response.reason_phrase}".rstrip()
    if image is not None:
        for field in ("image_url: ", "image: "):
            if detail.startswith(field):
                detail = f"{image.argument}: {detail.removeprefix(field)}"
    detail = detail.removeprefix("settings.")
    again = response.headers.get("retry-after", "")  # of a proxy in between perhaps a date
    return f"{detail}; try again in {again} s" if again.isdecimal() and "try again" not in detail else detail
