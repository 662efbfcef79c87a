"""The OpenAPI document as a whole: its introduction, its API keys, and its groups of routes.

Completes what FastAPI collects from the routes with the models they only refer to. Knows no route. Runs once
per process, when the document is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.api.openai.responses import ChatCompletion, ChatCompletionChunk, OpenAIError
from service.schemas.responses import CaptionAnswer, Problem, StreamChunk, StreamEnd, StreamFailure, VqaAnswer

TITLE = "Pheye"
SUMMARY = "Captions and visual question answering with a small high-resolution vision-language model."
DESCRIPTION = """
Send an image and ask; the examples below work as they are. Two families of routes share one model:

* **images**: `/v1/caption` and `/v1/vqa`, in this service's own terms; `/v1/images` keeps an image, which requests then
  name by its id, and `/v1/estimate` tells what a request would cost. Their failures are `application/problem+json`
  (RFC 9457).
* **openai**: `/v1/chat/completions`, for clients that speak OpenAI's protocol. Its failures are
  `{"error": {message, type, param, code}}`.

If the service was started with keys, send one with every request but the probes, in either of two headers; here, the
Authorize button does. Every response has an `X-Request-Id`, which the service's log has too. Times are in seconds,
sizes in bytes, images in pixels, text in tokens. Unknown fields of the native routes are refused, never ignored; those
of chats are ignored and named in the header `X-Pheye-Ignored`.
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


def complete_document(app: FastAPI, root_path: str) -> None:
    """Complete the document that `/openapi.json` and `/docs` show, for clients that reach it under a path prefix."""
    collected: Callable[[], dict[str, Any]] = app.openapi
    app.openapi = partial(_document, collected, root_path)  # type: ignore[method-assign]


def _document(collected: Callable[[], dict[str, Any]], root_path: str) -> dict[str, Any]:
    document = collected()
    if "security" in document:
        return document  # FastAPI keeps the document, and this is how it was left
    _, schemas = models_json_schema(
        [(model, "serialization") for model in REFERRED], ref_template="#/components/schemas/{model}"
    )
    components = document.setdefault("components", {})
    components["schemas"] = schemas["$defs"] | components.get("schemas", {})
    components["securitySchemes"] = KEYS
    if root_path:
        document["servers"] = [{"url": root_path}]
    document["security"] = [{}, *({name: []} for name in KEYS)]  # without keys, none is asked for
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    for item in document["paths"].values():
        for operation in item.values():
            _complete_operation(operation)
    return document


def _complete_operation(operation: dict[str, Any]) -> None:
    operation["summary"] = re.split(r"\.?\n|\. |: ", operation["description"])[0].rstrip(".")
    if "HTTPValidationError" in str(operation["responses"].get("422")):
        del operation["responses"]["422"]  # FastAPI expects it of any parameter; ours are strings and cannot be wrong
