"""Errors in the shape of OpenAI's routes: `{"error": {message, type, param, code}}`.

Owns how a route says that it speaks it, and the OpenAI names of what the native routes call otherwise. Translates a
`Problem`, so the two shapes cannot disagree about what happened. Pure; safe from any thread.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlette.responses import Response
from starlette.routing import BaseRoute

from service.api.encoding import json_response
from service.api.openai.responses import ErrorFields, OpenAIError
from service.schemas.responses import Problem

TAG = "openai"  # of every route that speaks it
# Where the rest of the service found fault, and what a chat's client calls that place.
_PARAMS = {"settings.max_tokens": "max_tokens", "question": "messages", "image": "messages", "image_url": "messages"}
_IMAGE = ("image", "image_url")  # is named in the message, for `messages` alone says nothing of it
_CODES = {
    "unauthorized": "invalid_api_key",
    "waiting_room_full": "rate_limit_exceeded",
    "invalid_field": "invalid_value",
    "fetch_failed": "invalid_image_url",
}
_TYPES = {401: "authentication_error", 429: "rate_limit_error"}
_FIELD = re.compile(r"(?P<name>\w+(?:\.\w+|\[\d+\])*): ")


def speaks_openai(route: BaseRoute | None) -> bool:
    """Say whether a route is one of OpenAI's."""
    return TAG in getattr(route, "tags", ())


def openai_status(status: int) -> int:
    """Return the status OpenAI's clients expect: whatever is wrong with a request's content is a plain 400.

    >>> [openai_status(status) for status in (401, 413, 415, 422, 429)]
    [401, 413, 400, 400, 429]
    """
    return 400 if status in (415, 422) else status


def openai_error(problem: Problem) -> OpenAIError:
    """Turn a problem into an error in OpenAI's shape."""
    param, message = _param_of(problem)
    slug = problem.type.removeprefix("/errors/").replace("-", "_")
    server = "server_error" if problem.status >= 500 else "invalid_request_error"
    return OpenAIError(
        error=ErrorFields(
            message=message,
            type=_TYPES.get(problem.status, server),
            param=param,
            code=None if slug == "about:blank" else _CODES.get(slug, slug),
        )
    )


def openai_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Turn a problem into a response in OpenAI's shape.

    OpenAI's own clients send a request that failed with a 5xx again, twice. They are told not to where it cannot help:
    the model failed on this request, or its deadline has passed.
    """
    again = {"x-should-retry": "false"} if problem.status in (500, 504) else {}
    return json_response(openai_error(problem), openai_status(problem.status), {**(headers or {}), **again})


def _param_of(problem: Problem) -> tuple[str | None, str]:
    """Split a message into the field at fault and the rest; details start with the field's name."""
    found = _FIELD.match(problem.detail) if 400 <= problem.status < 500 else None
    if found is None or found["name"] == "body":
        return None, problem.detail
    name = _PARAMS.get(found["name"], found["name"])
    rest = problem.detail if found["name"] in _IMAGE else problem.detail[found.end() :]
    return name, f"{name}: {rest}"
