"""Documentation of the routes that take an image: their bodies, their stream, and every error.

Built from the models of `service.schemas.requests` and `service.schemas.responses`: it cannot say anything else. Pure;
runs at import.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from service.api.encoding import StreamItem, sse_event
from service.api.openapi.examples import EXAMPLES, STREAM
from service.api.problems import MEDIA_TYPE, problem_type
from service.errors import (
    BadRequest,
    DeadlineExceeded,
    HeadTooLarge,
    ImagesUnreachable,
    InvalidField,
    NotFound,
    RowFailed,
    ServiceError,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnsupportedImage,
    UploadStalled,
    WaitingRoomFull,
)
from service.schemas.requests import CaptionRequest, VqaRequest, WithImage
from service.schemas.responses import (
    Problem,
    StreamChunk,
    StreamEnd,
    StreamFailure,
)


@dataclass(frozen=True, slots=True)
class Failure:
    """An error status as it is documented: its meaning on a route, and the failure that is its example."""

    kind: type[ServiceError]
    words: str

    def example(self) -> Problem:
        """Build the example of the error as a client sees it."""
        status, title = self.kind.status, self.kind.title
        return Problem(
            type=problem_type(self.kind), title=title, status=status, detail=self.words, instance="/requests/6c0e"
        )


ERRORS = {
    400: Failure(BadRequest, "Malformed JSON, or a text that is no image"),
    401: Failure(Unauthorized, "API key missing or wrong"),
    404: Failure(NotFound, "No image of yours has the id given as `image_url`; upload it again"),
    408: Failure(UploadStalled, "The body stopped arriving"),
    413: Failure(TooLarge, "Too many bytes or pixels"),
    415: Failure(UnsupportedImage, "Not an image that is read here, or another kind of body"),
    422: Failure(
        InvalidField, "A field is unknown or out of range, or the image is unreadable or could not be fetched"
    ),
    429: Failure(WaitingRoomFull, "Too many requests wait"),
    431: Failure(HeadTooLarge, "The query and the headers are too long: send the fields in the body"),
    500: Failure(RowFailed, "The request failed in the model"),
    503: Failure(Unavailable, "Loading, draining, no worker alive, or the folder of uploaded images fails"),
    504: Failure(DeadlineExceeded, "The deadline passed"),
}
OF_IDS = ERRORS | {503: Failure(ImagesUnreachable, "The folder of uploaded images, if there is one, fails")}
FILE = {
    "type": "string",
    "format": "binary",
    "description": "The image as a file: JPEG, PNG, WEBP, AVIF, GIF, BMP, TIFF, and HEIC with an extra.",
}
SETTINGS = '{"max_tokens": 20}'  # as text, in forms and queries


def problem_docs(*statuses: int, failures: Mapping[int, Failure] = ERRORS) -> dict[int | str, dict[str, Any]]:
    """Document error responses; without statuses, all that a request for the model can get."""
    return {
        status: {
            "description": failures[status].words,
            "content": {MEDIA_TYPE: {"schema": reference(Problem), "example": failures[status].example().model_dump()}},
            **failure_headers(status),
        }
        for status in statuses or failures
    }


def reference(model: type[BaseModel]) -> dict[str, str]:
    """Build a schema that points to a model, which `service.api.openapi.document` puts into the document."""
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def failure_headers(status: int) -> dict[str, Any]:
    """Document the headers that come with a failure."""
    if status not in (429, 503):
        return {}
    schema = {"type": "integer", "minimum": 1}
    return {"headers": {"Retry-After": {"description": "Seconds after which to try again.", "schema": schema}}}


def event_stream(
    example: Sequence[StreamItem], *events: type[BaseModel], last_word: str | None = None
) -> dict[str, Any]:
    """Document a stream of server-sent events (SSE), as OpenAPI 3.2 does.

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
    item = {"type": "object", "required": ["data"], "properties": {"data": data}}
    return {"text/event-stream": {"itemSchema": item, "example": b"".join(map(sse_event, example)).decode()}}


def ask_docs(asked: type[CaptionRequest | VqaRequest], answered: type[BaseModel]) -> dict[str, Any]:
    """Build the arguments for a route that reads its body itself."""
    ok = {
        "description": "The answer; with `stream`, server-sent events, each `data: ` and JSON on one line: a "
        "`StreamChunk` for each new piece of text and last a `StreamEnd`. Lines that begin with a colon keep the "
        "connection alive. A failure before the first byte is a plain error with its status, one after it is a "
        "`StreamFailure`, as the last event.",
        "content": {
            "application/json": {"schema": reference(answered)},
            **event_stream(STREAM, StreamChunk, StreamEnd, StreamFailure),
        },
    }
    return {"responses": {200: ok, **problem_docs()}, "openapi_extra": body_docs(asked)}


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
