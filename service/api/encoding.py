"""Encoding of response models as bytes: the body of a response, or a server-sent event.

Owns the one rule for both: what is sent is a model that the OpenAPI document shows, with the fields that were set. A
field that was not set is absent, never null. Knows no model. Pure; safe from any thread.
"""

from __future__ import annotations

from collections.abc import Mapping

from fastapi.sse import format_sse_event
from pydantic import BaseModel
from starlette.responses import Response

StreamItem = BaseModel | str  # the data of one server-sent event: a model, or a word as it is


def to_json(body: BaseModel) -> str:
    """Write a model as one line of JSON."""
    return body.model_dump_json(exclude_unset=True)


def json_response(
    body: BaseModel,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    media_type: str = "application/json",
) -> Response:
    """Make a whole response of a model."""
    return Response(to_json(body), status, headers, media_type)


def server_timing(seconds: Mapping[str, float]) -> str:
    """Write the value of a `Server-Timing` header, in milliseconds.

    >>> server_timing({"queue": 0.0012, "total": 0.25})
    'queue;dur=1.200, total;dur=250.000'
    """
    return ", ".join(f"{name};dur={1000 * value:.3f}" for name, value in seconds.items())


def sse_event(data: StreamItem) -> bytes:
    r"""Make a server-sent event of a model, or of a word as it is.

    >>> sse_event("[DONE]")
    b'data: [DONE]\n\n'
    """
    return format_sse_event(data_str=data if isinstance(data, str) else to_json(data))
