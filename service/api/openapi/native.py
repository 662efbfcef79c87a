"""Documentation of the routes that take an image: their bodies, their answers and their stream.

Built from the models of `service.schemas.requests` and `service.schemas.responses`: it cannot say anything else. Pure;
runs at import.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from service.api.encoding import StreamItem, sse_event, to_json
from service.api.openapi.answers import STREAM
from service.api.openapi.examples import EXAMPLES
from service.api.openapi.failures import problem_docs
from service.api.openapi.headers import header_docs
from service.schemas.requests import CaptionRequest, VqaRequest, WithImage
from service.schemas.responses import CaptionAnswer, StreamChunk, StreamEnd, StreamFailure, VqaAnswer

FILE = {
    "type": "string",
    "format": "binary",
    "description": "The image as a file: JPEG, PNG, WEBP, AVIF, GIF, BMP, TIFF, and HEIC with an extra.",
}
WAYS = (
    "Three ways to send it. JSON: the image is `image_url`, and sampling settings are in `settings`. A form: the image "
    "is the file field `image`, or `image_url`; lists repeat their field, and settings may be fields of their own, "
    "`curl -F image=@photo.jpg -F max_tokens=20`. The image alone: its file is the whole body, with its own content "
    "type, and the fields are in the query, `curl -H 'Content-Type: image/jpeg' --data-binary @photo.jpg`. With all "
    "fields in the query, `image_url` among them, there need be no body."
)
SENT_IMAGE = "X-Pheye-Image-Digest"
SETTINGS = '{"max_tokens": 20}'  # as text, in forms and queries


def reference(model: type[BaseModel]) -> dict[str, str]:
    """Build a schema that points to a model, which `service.api.openapi.document` puts into the document."""
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def event_stream(
    example: Sequence[StreamItem], *events: type[BaseModel], last_word: str | None = None
) -> dict[str, Any]:
    """Document a stream of server-sent events (SSE): a text, whose content is the events one by one.

    OpenAPI 3.2 has `itemSchema` for the same, which no validator of 3.1 takes.

    Args:
        example: the data of a whole stream's events.
        events: what the data of an event is, as JSON.
        last_word: what the data of the last event is, if it is no JSON.
    """
    content = {"anyOf": [reference(event) for event in events]}
    data: dict[str, Any] = {"type": "string", "contentMediaType": "application/json", "contentSchema": content}
    if last_word is not None:
        data = {"anyOf": [data, {"const": last_word}]}
    data["description"] = "What follows `data: ` on the line."
    event = {"type": "object", "required": ["data"], "properties": {"data": data}}
    stream = {"type": "string", "contentMediaType": "text/event-stream", "contentSchema": event}
    return {"text/event-stream": {"schema": stream, "example": b"".join(map(sse_event, example)).decode()}}


def answer_docs(words: str, example: BaseModel, *headers: str, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """Document an answer in JSON: what it is, an example, and its headers."""
    content = {"application/json": {"schema": reference(type(example)), "example": json.loads(to_json(example))}}
    return {status: {"description": words, "content": content, **header_docs(*headers)}}


def ask_docs(asked: type[CaptionRequest | VqaRequest], example: CaptionAnswer | VqaAnswer) -> dict[str, Any]:
    """Build the arguments for a route that reads its body itself."""
    ok = answer_docs(
        "The answer; with `stream`, server-sent events, each `data: ` and JSON on one line: a `StreamChunk` for each "
        "new piece of text and last a `StreamEnd`. Lines that begin with a colon keep the connection alive. A failure "
        "before the first byte is a plain error with its status, one after it is a `StreamFailure`, as the last event.",
        example,
        *("Server-Timing", SENT_IMAGE),
    )
    ok[200]["content"] |= event_stream(STREAM, StreamChunk, StreamEnd, StreamFailure)
    return {"responses": {**ok, **problem_docs()}, "openapi_extra": body_docs(asked)}


def body_docs(asked: type[WithImage], *, image_needed: bool = True) -> dict[str, Any]:
    """Document the ways to send a request about an image: three kinds of body, or a query alone."""
    schema = inlined(asked.model_json_schema())
    return {"requestBody": _bodies(schema, EXAMPLES[asked], image_needed), "parameters": _parameters(schema)}


def _bodies(schema: dict[str, Any], examples: Mapping[str, Any], image_needed: bool) -> dict[str, Any]:
    needed = schema.get("required", [])
    form = {**schema, "properties": {"image": FILE, **_form_fields(schema, examples)}}
    json = {**schema, "required": ["image_url", *needed]} if image_needed else schema
    if image_needed:
        form["anyOf"] = [{"required": ["image"]}, {"required": ["image_url"]}]
    return {
        "description": WAYS,
        "required": False,  # with all fields in the query there is none
        "content": {
            "application/json": {"schema": json, "examples": examples},
            "multipart/form-data": {"schema": form},
            "image/*": {"schema": FILE},
        },
    }


def _form_fields(schema: dict[str, Any], examples: Mapping[str, Any]) -> dict[str, Any]:
    """List the fields of a form: the first example fills them in, and `/docs` makes nothing up."""
    typed = {"settings": SETTINGS} | {**next(iter(examples.values()))["value"], "image_url": ""}
    return {
        name: {**field, "examples": [typed.get(name, [] if "items" in field else "")]}
        for name, field in _text_fields(schema).items()
    }


def _parameters(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": f"With an image/* body or none. {field['description']}",
            "schema": field,
        }
        for name, field in _text_fields(schema).items()
    ]


def _text_fields(schema: dict[str, Any]) -> dict[str, Any]:
    """List the fields as a form or a query has them: the settings all together, and by their names.

    All together they are JSON text, which is said in words: for a `contentMediaType`, `/docs` would ask for a file.
    """
    fields = dict(schema["properties"])
    if "settings" not in fields:
        return {name: _as_text(field) for name, field in fields.items()}
    together = {"type": "string", "description": f"The settings as JSON, `{SETTINGS}`, instead of by their names."}
    [settings] = [kind for kind in fields["settings"]["anyOf"] if "properties" in kind]
    by_name = {name: _as_text(field) for name, field in settings["properties"].items()}
    return {name: _as_text(field) for name, field in fields.items()} | {"settings": together} | by_name


def _as_text(field: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a field without null, which text cannot say, and with its default in words, not as a value to send."""
    kinds = [kind for kind in field.get("anyOf", ()) if kind != {"type": "null"}]
    absent = "" if field.get("default") is None else f" Absent: `{str(field['default']).lower()}`."
    kept = {key: value for key, value in field.items() if key not in ("anyOf", "default")}
    return {**(kinds[0] if kinds else {}), **kept, "description": field["description"] + absent}


def inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """Copy the schema with its `$defs` written out where they are used: OpenAPI looks for them elsewhere."""
    definitions: dict[str, Any] = schema.pop("$defs", {})

    def resolve(node: Any) -> Any:
        if isinstance(node, dict):
            target = str(node.get("$ref", "")).removeprefix("#/$defs/")
            return resolve(definitions[target]) if target in definitions else {k: resolve(v) for k, v in node.items()}
        return [resolve(item) for item in node] if isinstance(node, list) else node

    resolved: dict[str, Any] = resolve(schema)
    return resolved
