"""Encoding of response models as bytes: the body of a response, or a server-sent event.

Owns the one rule for both: what is sent is a model that the OpenAPI document shows, with the fields that were set. A
field that was not set is absent, never null. Knows no model. Pure; safe from any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fastapi.sse import format_sse_event
from pydantic import BaseModel
from starlette.responses import Response


@dataclass(frozen=True, slots=True)
class Extended:
    """A model with one more field that is too large to be written on the event loop: a value, or several in a list.

    Attributes:
        body: everything else.
        name: of the field.
        write: each writes one value as JSON.
        is_list: whether the field is a list of the values; else it is the only one.
    """

    body: BaseModel
    name: str
    write: Sequence[Callable[[], str]]
    is_list: bool

    def joined(self, values: Sequence[str]) -> str:
        """Write all of it as one line of JSON, with the values that were written before."""
        value = f"[{','.join(values)}]" if self.is_list else values[0]
        return f'{to_json(self.body)[:-1]},"{self.name}":{value}}}'


Body = BaseModel | Extended  # of an answer
StreamItem = BaseModel | str  # the data of one server-sent event: a model, or a word as it is


def to_json(body: BaseModel) -> str:
    """Write a model as one line of JSON."""
    return body.model_dump_json(exclude_unset=True)


def json_response(
    body: BaseModel | str,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    media_type: str = "application/json",
) -> Response:
    """Make a whole response of a model, or of JSON as it is."""
    return Response(body if isinstance(body, str) else to_json(body), status, headers, media_type)


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
