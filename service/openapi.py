"""What `/docs` says of the routes that take an image: three kinds of body, one stream, every error.

Built from the models of `service.schemas` and `service.replies`: it cannot say anything else. Pure; runs at import.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from service.problems import MEDIA_TYPE
from service.replies import Problem
from service.schemas import CaptionRequest, VqaRequest

ERRORS = {
    400: "Malformed JSON or data URI",
    401: "API key missing or wrong",
    413: "Too many bytes or pixels",
    415: "Not an image that is read here, or another kind of body",
    422: "A field is unknown or out of range, or the image is unreadable",
    429: "Too many requests wait; see Retry-After",
    500: "The request failed in the model",
    503: "Loading, draining, or no worker alive; see Retry-After",
    504: "The deadline passed",
}
FILE = {"type": "string", "format": "binary"}


def problem_docs(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Documentation of error responses; without arguments, of all that a request for the model can get."""
    schema = {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}}
    return {
        status: {"model": Problem, "description": ERRORS[status], "content": schema} for status in statuses or ERRORS
    }


def ask_docs(asked: type[CaptionRequest | VqaRequest], answered: type[BaseModel]) -> dict[str, Any]:
    """Arguments for a route that reads its body itself."""
    schema = _inlined(asked.model_json_schema())
    ok = {
        "description": 'The answer; with `stream`, server-sent events: `data: {"chunk": ...}`, then one with '
        '`"completed": true`.',
        "content": {
            "application/json": {"schema": {"$ref": f"#/components/schemas/{answered.__name__}"}},
            "text/event-stream": {"schema": {"type": "string"}},
        },
    }
    return {
        "responses": {200: ok, **problem_docs()},
        "openapi_extra": {"requestBody": _bodies(schema), "parameters": _parameters(schema)},
    }


def _bodies(schema: dict[str, Any]) -> dict[str, Any]:
    form = {**schema, "properties": {"image": FILE, **_flat_fields(schema)}, "required": ["image"]}
    return {
        "required": True,
        "content": {
            "application/json": {"schema": {**schema, "required": ["image_url"]}},
            "multipart/form-data": {"schema": form},
            "image/*": {"schema": FILE},
        },
    }


def _flat_fields(schema: dict[str, Any]) -> dict[str, Any]:
    """The fields as a form or a query has them: settings are JSON text, the image is not among them."""
    properties: dict[str, Any] = schema["properties"]
    settings = {"type": "string", "contentMediaType": "application/json", "description": "The settings as JSON."}
    return {name: field for name, field in properties.items() if name != "image_url"} | {"settings": settings}


def _parameters(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": f"With an image/* body only. {field.get('description', '')}",
            "schema": field,
        }
        for name, field in _flat_fields(schema).items()
    ]


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with its `$defs` written out where they are used: OpenAPI looks for them elsewhere."""
    definitions: dict[str, Any] = schema.pop("$defs", {})

    def resolve(node: Any) -> Any:
        if isinstance(node, dict):
            target = str(node.get("$ref", "")).removeprefix("#/$defs/")
            return resolve(definitions[target]) if target in definitions else {k: resolve(v) for k, v in node.items()}
        return [resolve(item) for item in node] if isinstance(node, list) else node

    resolved: dict[str, Any] = resolve(schema)
    return resolved
