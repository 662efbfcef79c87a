"""Tables of the HTTP API for the documentation: routes, request fields, sampling settings, errors.

Builds the application for its OpenAPI document but never starts it. Main thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from service.api.app import create_app
from service.api.problems import problem_type
from service.cli.dev.docs.markdown import code, code_list, first_sentence, table
from service.configuration.settings import Settings
from service.dispatch.queue import RequestQueue
from service.errors import ServiceError
from service.metrics.service_metrics import Metrics
from service.schemas.requests import CaptionRequest, SamplingFields, VqaRequest

_TYPES = {"string": "text", "boolean": "true or false", "integer": "integer", "number": "number"}


def routes(_: Sequence[str] = ()) -> str:
    """Write a table of every route in the OpenAPI document."""
    chosen, metrics = Settings.model_construct(), Metrics()
    document = create_app(chosen, RequestQueue(chosen, metrics), metrics).openapi()
    rows = [
        (code(f"{method.upper()} {path}"), first_sentence(operation["description"]))
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]
    return table(("Route", "What it does"), rows)


def fields(_: Sequence[str] = ()) -> str:
    """Write a table of the fields of captions and questions, and which of the two takes each."""
    rows = []
    by_name = {name: (model, info) for model in (CaptionRequest, VqaRequest) for name, info in _properties(model)}
    for name, (model, info) in by_name.items():
        both = name in CaptionRequest.model_fields and name in VqaRequest.model_fields
        kind = "both" if both else "caption" if model is CaptionRequest else "vqa"
        rows.append((code(name), kind, _values(info), _default(info), info.get("description", "")))
    return table(("Field", "For", "Values", "Default", "Meaning"), rows)


def sampling(_: Sequence[str] = ()) -> str:
    """Write a table of the sampling settings of a request."""
    rows = [
        (code(name), _values(info), _default(info), info["description"]) for name, info in _properties(SamplingFields)
    ]
    return table(("Setting", "Values", "Default", "Meaning"), rows)


def errors(_: Sequence[str] = ()) -> str:
    """Write a table of every kind of failure, by status."""
    kinds = sorted(_subclasses(ServiceError), key=lambda kind: kind.status)
    rows = [(str(kind.status), code(problem_type(kind)), first_sentence(kind.__doc__ or "")) for kind in kinds]
    return table(("Status", "`type`", "When"), rows)


def _subclasses(kind: type[ServiceError]) -> Iterator[type[ServiceError]]:
    for each in kind.__subclasses__():
        yield each
        yield from _subclasses(each)


def _properties(model: type[BaseModel]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    properties: dict[str, dict[str, Any]] = model.model_json_schema()["properties"]
    yield from properties.items()


def _values(info: Mapping[str, Any]) -> str:
    """Describe in words the values that a field takes."""
    if "anyOf" in info:
        return " or ".join(_values(each) for each in info["anyOf"] if each.get("type") != "null")
    if "enum" in info:
        return code_list(info["enum"])
    if info.get("type") == "array":
        return f"list of {_values(info['items'])}"
    return _TYPES.get(info.get("type", ""), "object")


def _default(info: Mapping[str, Any]) -> str:
    value = info.get("default")
    return code(str(value).lower() if isinstance(value, bool) else "" if value is None else str(value))
