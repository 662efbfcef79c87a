"""The OpenAPI document as a whole: its introduction, its API keys, and its groups of routes.

Completes what FastAPI collects from the routes with the models they only refer to. Knows no route. Runs once
per process, when the document is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.routing import BaseRoute

from service.api.openai.responses import ChatCompletion, ChatCompletionChunk, OpenAIError
from service.api.openapi.headers import HEADERS, header_docs
from service.schemas.responses import CaptionAnswer, Problem, StreamChunk, StreamEnd, StreamFailure, VqaAnswer

TITLE = "Pheye"
SUMMARY = "Captions and visual question answering with a small high-resolution vision-language model."
DESCRIPTION = """
Send an image and ask; the examples below work as they are.

**Which route.** Two families share one model:

* **images**: `/v1/caption` describes an image and `/v1/vqa` answers questions about it, in this service's own terms;
  `/v1/images` keeps an image, which requests then name by its id, and `/v1/estimate` tells what a request would cost.
* **openai**: `/v1/chat/completions`, for clients that speak OpenAI's protocol.

Not in this document: `/mcp` for agents (MCP), if it is switched on; the playground at `/`; and `/health`, `/healthz`
and `/ping`, which are `/readyz`.

**Keys.** If the service was started with keys, send one with every request but the probes, in either of two headers;
here, the Authorize button does.

**Headers.** Every response has an `X-Request-Id`, which the service's log has too; send one to choose it, and a
`Traceparent` (W3C Trace Context) to make the request a part of your trace. Every 429 and 503 has a `Retry-After`.
There are no idempotency keys and none are needed: questions change nothing, and the same image uploaded twice has one
id. Greedy answers, and those with a `seed`, are the same each time. Send bodies without compression. Every GET takes
HEAD too.

**Failures** of native routes are `application/problem+json` (RFC 9457), told apart by `type`; those of OpenAI's routes
are `{"error": {message, type, param, code}}`. Beside the statuses that a route lists, any path may answer 405 to
another method, 413 or 415 to a body that is too large or compressed, and 503 while the service has too many connections
or stops. What is wrong with a request before its route is known (400, 408, 431, and 503 for too many connections) is a
problem on every route.

Times are in seconds, sizes in bytes, images in pixels, text in tokens. Unknown fields of the native routes are
refused, never ignored; those of chats are ignored and named in the header `X-Pheye-Ignored`.
"""
TAGS = [
    {"name": "images", "description": "Captions, and answers to questions about an image."},
    {"name": "openai", "description": "The same model for clients that speak OpenAI's protocol."},
    {"name": "service", "description": "Probes, metrics, and what this is."},
    {"name": "not offered", "description": "What moondream's clients know and Pheye has no answer to: a clear 404."},
]
KEYS = {
    "key": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer KEY`"},
    "moondreamKey": {"type": "apiKey", "in": "header", "name": "X-Moondream-Auth", "description": "The key alone."},
}
# Routes that send their responses themselves only refer to these.
REFERRED: tuple[type[BaseModel], ...] = (
    Problem, CaptionAnswer, VqaAnswer, StreamChunk, StreamEnd, StreamFailure, OpenAIError, ChatCompletion,
    ChatCompletionChunk,
)  # fmt: skip


def complete_document(app: FastAPI, routes: Sequence[BaseRoute], root_path: str) -> None:
    """Complete the document that `/openapi.json` and `/docs` show, for clients that reach it under a path prefix."""
    collected: Callable[[], dict[str, Any]] = app.openapi
    app.openapi = partial(_document, collected, routes, root_path)  # type: ignore[method-assign]


def _document(collected: Callable[[], dict[str, Any]], routes: Sequence[BaseRoute], root_path: str) -> dict[str, Any]:
    document = collected()
    if "security" in document:
        return document  # FastAPI keeps the document, and this is how it was left
    _, schemas = models_json_schema(
        [(model, "serialization") for model in REFERRED], ref_template="#/components/schemas/{model}"
    )
    components = document.setdefault("components", {})
    components["schemas"] = schemas["$defs"] | components.get("schemas", {})
    components["securitySchemes"] = KEYS
    components["headers"] = HEADERS
    if root_path:
        document["servers"] = [{"url": root_path}]
    document["security"] = [{}, *({name: []} for name in KEYS)]  # without keys, none is asked for
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    for item in document["paths"].values():
        for operation in item.values():
            _complete_operation(operation)
    for route in routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            for method in route.methods or ():
                _put_examples_back(route, document["paths"][route.path_format][method.lower()]["responses"])
    return document


def _put_examples_back(route: APIRoute, responses: dict[str, Any]) -> None:
    """Show examples of responses as they were given: FastAPI leaves out every field that is null."""
    for status, given in route.responses.items():
        for kind, content in given.get("content", {}).items():
            if "example" in content:
                responses[str(status)]["content"][kind]["example"] = content["example"]


def _complete_operation(operation: dict[str, Any]) -> None:
    operation["summary"] = re.split(r"\.?\n|\. |: ", operation["description"])[0].rstrip(".")
    if "HTTPValidationError" in str(operation["responses"].get("422")):
        del operation["responses"]["422"]  # FastAPI expects it of any parameter; ours are strings and cannot be wrong
    for response in operation["responses"].values():
        response["headers"] = {**header_docs("X-Request-Id")["headers"], **response.get("headers", {})}
