"""The document is enough for a stranger: valid, with words and examples for every route, status and header."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from model.checkpoint.checkpoint import open_checkpoint
from service.api.app import create_app
from service.api.openai.errors import openai_status
from service.api.openai.request import ChatRequest
from service.api.openai.responses import ChatCompletion, ModelEntry, ModelList, OpenAIError
from service.api.openapi import answers
from service.api.problems import problem_type
from service.configuration.settings import Settings
from service.dispatch.queue import RequestQueue
from service.errors import OriginRefused, ServiceError
from service.metrics.service_metrics import Metrics
from service.schemas.estimate import Estimate
from service.schemas.requests import CaptionRequest, EstimateRequest, ImageUpload, VqaRequest
from service.schemas.responses import CaptionAnswer, ImageCard, ImageList, Problem, VqaAnswer
from service.schemas.service_card import Alive, ReadyCard, ServiceCard

METHODS = ("get", "post", "delete")
ASKED: dict[str, type[BaseModel]] = {
    "POST /v1/caption": CaptionRequest, "POST /v1/vqa": VqaRequest, "POST /v1/query": VqaRequest,
    "POST /v1/chat/completions": ChatRequest, "POST /v1/images": ImageUpload, "POST /v1/estimate": EstimateRequest,
}  # fmt: skip
ANSWERED: dict[str, type[BaseModel]] = {
    "POST /v1/caption": CaptionAnswer, "POST /v1/vqa": VqaAnswer, "POST /v1/query": VqaAnswer,
    "POST /v1/chat/completions": ChatCompletion, "POST /v1/images": ImageCard, "POST /v1/estimate": Estimate,
    "GET /v1/models": ModelList, "GET /v1/models/{model}": ModelEntry, "GET /v1/images": ImageList,
    "GET /v1/images/{image_id}": ImageCard, "GET /livez": Alive, "GET /readyz": ReadyCard, "GET /v1": ServiceCard,
}  # fmt: skip
VERB = re.compile("(Answer|Check|Describe|Drop|Estimate|Keep|List|Read|Refuse) ")
SUMMARY_CHARS = 90


def _document() -> dict[str, Any]:
    settings, metrics = Settings.model_construct(), Metrics()
    document = create_app(settings, RequestQueue(settings, metrics), metrics).openapi()
    return json.loads(json.dumps(document))


DOCUMENT = _document()
OPERATIONS = {
    f"{method.upper()} {path}": item[method]
    for path, item in DOCUMENT["paths"].items()
    for method in METHODS
    if method in item
}
ROUTES = pytest.mark.parametrize("route", OPERATIONS)


def failures(route: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The failures of a route, by status."""
    for status, response in OPERATIONS[route]["responses"].items():
        if int(status) >= 400:
            yield int(status), response


def targets(node: Any) -> Iterator[str]:
    """Every reference in a part of the document."""
    if isinstance(node, dict):
        yield from ([node["$ref"]] if isinstance(node.get("$ref"), str) else [])
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from targets(child)


def test_the_document_is_valid_openapi_of_its_own_version():
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert [f"{list(each.instance_path)}: {each.message}" for each in OPENAPI_31_VALIDATOR.iter_errors(DOCUMENT)] == []


def test_every_reference_resolves_and_every_operation_has_an_id_of_its_own():
    for target in set(targets(DOCUMENT)):
        node = DOCUMENT
        for part in target.removeprefix("#/").split("/"):
            node = node[part]
    ids = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(set(ids)) == len(ids)


@ROUTES
def test_every_route_says_in_a_line_what_it_does_and_in_sentences_how_to_use_it(route):
    operation = OPERATIONS[route]
    assert VERB.match(operation["summary"])
    assert len(operation["summary"]) <= SUMMARY_CHARS
    sentences = re.split(r"(?<=[.?!])\s+", operation["description"].strip())
    assert len(sentences) >= 3
    neighbours = set(re.findall(r"`(/[^`]+)`", operation["description"])) - {route.partition(" ")[2]}
    assert neighbours & DOCUMENT["paths"].keys(), "names no route to use instead"


@ROUTES
def test_every_failure_of_a_route_is_a_sentence_with_its_kinds_a_schema_and_a_valid_example(route):
    operation = OPERATIONS[route]
    assert {"431", "500"} <= operation["responses"].keys()
    assert ("401" in operation["responses"]) == (operation.get("security") != [])
    for status, response in failures(route):
        assert re.fullmatch(r"[A-Z].+\. `(type|code)`: .+\.", response["description"]), (status, response)
        [(kind, content)] = response["content"].items()
        if kind == "application/problem+json":
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
            assert Problem.model_validate(content["example"], extra="forbid").status == status
            assert f"`{content['example']['type']}`" in response["description"]
        else:
            assert content["schema"] == {"$ref": "#/components/schemas/OpenAIError"}
            assert OpenAIError.model_validate(content["example"], extra="forbid")


@ROUTES
def test_every_success_of_a_route_has_words_of_its_own_and_a_valid_example(route):
    for status, response in OPERATIONS[route]["responses"].items():
        if int(status) >= 300:
            continue
        assert response["description"] != "Successful Response"
        for kind, content in response.get("content", {}).items():
            assert content["example"], kind
            if kind == "application/json":
                assert ANSWERED[route].model_validate(content["example"], extra="forbid")
                assert content["schema"] == {"$ref": f"#/components/schemas/{ANSWERED[route].__name__}"}


@pytest.mark.parametrize("route", ASKED)
def test_every_example_of_a_request_is_taken_by_the_models_of_its_route(route):
    body = OPERATIONS[route]["requestBody"]
    assert body["description"]
    examples = body["content"]["application/json"]["examples"]
    assert examples
    for example in examples.values():
        assert example["summary"]
        asked = TypeAdapter(ASKED[route]).validate_python(example["value"], strict=True)
        assert not getattr(asked, "ignored", [])


def test_no_route_takes_a_body_that_is_not_judged_here():
    assert {route for route, each in OPERATIONS.items() if "requestBody" in each} == ASKED.keys()


@ROUTES
def test_every_response_names_its_request_and_every_header_is_described(route):
    for status, response in OPERATIONS[route]["responses"].items():
        assert "X-Request-Id" in response["headers"]
        assert ("Retry-After" in response["headers"]) == (status in ("429", "503"))
        assert ("WWW-Authenticate" in response["headers"]) == (status == "401")
    for header in DOCUMENT["components"]["headers"].values():
        assert header["description"].endswith(".")
        assert header["schema"]


def test_every_kind_of_failure_is_told_on_some_route():
    told = json.dumps(DOCUMENT["paths"])
    for kind in _kinds(ServiceError):
        if kind is not OriginRefused:  # of /mcp alone, which is not in the document
            assert f"`{problem_type(kind)}`" in told or openai_status(kind.status) == 404, kind


def _kinds(kind: type[ServiceError]) -> Iterator[type[ServiceError]]:
    for each in kind.__subclasses__():
        yield each
        yield from _kinds(each)


def test_the_examples_tell_of_the_model_that_is_built_in() -> None:
    checkpoint = open_checkpoint("pheye-tiny")
    assert answers.READY.parameters == sum(tensor.numel() for tensor in checkpoint.tensors.values())
    assert checkpoint.about is not None
    assert answers.SERVICE.model is not None
    assert answers.SERVICE.model.knows == checkpoint.about.knows
    assert answers.SERVICE.model.outside_answer == checkpoint.about.outside_answer
    estimate = answers.ESTIMATE
    assert estimate.flops.total == estimate.flops.encode + estimate.flops.prefill + estimate.flops.decode
