"""What `/docs` and `/openapi.json` say: complete, true, and without anything from elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from service.api.encoding import to_json
from service.api.openai.responses import ChatCompletion, ChatCompletionChunk
from service.schemas.responses import CaptionAnswer, Problem, StreamChunk, StreamEnd, VqaAnswer
from tests.support.serving import running_server

METHODS = {"get", "post", "delete", "put", "patch"}
PROBES = {"/livez", "/readyz"}
ASKED = ("/v1/caption", "/v1/vqa", "/v1/query", "/v1/chat/completions")


@pytest.fixture(scope="module")
def server():
    with running_server(default_max_tokens=8) as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    with server.client() as client:
        yield client


@pytest.fixture(scope="module")
def document(client) -> dict[str, Any]:
    return client.get("/openapi.json").json()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in item.keys() & METHODS:
            yield path, method, item[method]


def undescribed(node: Any, where: str) -> Iterator[str]:
    """Every field of every object in a part of the document that is not described."""
    if isinstance(node, list):
        for item in node:
            yield from undescribed(item, where)
    if not isinstance(node, dict):
        return
    fields = node.get("properties")
    for name, field in (fields if isinstance(fields, dict) else {}).items():
        if isinstance(field, dict) and not field.keys() & {"description", "const", "$ref", "contentSchema"}:
            yield f"{where}.{name}"
    for name, child in node.items():
        yield from undescribed(child, f"{where}.{name}")


def test_every_field_and_every_model_is_described(document):
    assert all(schema["description"] for schema in document["components"]["schemas"].values())
    parts = {"paths": document["paths"], "schemas": document["components"]["schemas"]}
    assert sorted(set(undescribed(parts, ""))) == []


def test_every_route_says_what_it_is_for_and_which_errors_it_has(document):
    tags = {tag["name"] for tag in document["tags"]}
    for path, _, operation in operations(document):
        assert operation["description"], path
        assert set(operation["tags"]) <= tags
        assert all(response["description"] for response in operation["responses"].values())
        if path not in PROBES:
            assert "401" in operation["responses"], path
    for path in ASKED:
        responses = document["paths"][path]["post"]["responses"]
        assert {"200", "400", "401", "404", "408", "413", "429", "500", "503", "504"} <= responses.keys()
        assert "Retry-After" in responses["429"]["headers"]
        shape = "application/json" if "chat" in path else "application/problem+json"
        others = {
            code: response["content"].keys() for code, response in responses.items() if code not in ("200", "431")
        }
        assert all(kinds == {shape} for kinds in others.values())
        assert responses["431"]["content"].keys() == {"application/problem+json"}, "no route is known yet"


def test_every_failure_is_shown_as_a_client_would_see_it(client, document):
    for _, _, operation in operations(document):
        for status, response in operation["responses"].items():
            shown = response.get("content", {}).get("application/problem+json")
            if shown is not None:
                assert Problem.model_validate(shown["example"], extra="forbid").status == int(status)
    refused = document["paths"]["/v1/detect"]["post"]["responses"]["404"]["content"]["application/problem+json"]
    assert refused["example"]["type"] == client.post("/v1/detect").json()["type"]
    shown = document["paths"]["/v1/chat/completions"]["post"]["responses"]["400"]["content"]["application/json"][
        "example"
    ]
    assert document["components"]["schemas"]["OpenAIError"]["examples"] == [shown]
    example = document["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"][
        "examples"
    ]
    hot = example["question"]["value"] | {"temperature": 2.5}
    assert client.post("/v1/chat/completions", json=hot).json() == shown


def test_the_alias_is_documented_like_what_it_stands_for(document):
    own = {"operationId": "", "summary": ""}
    alias, vqa = (document["paths"][path]["post"] | own for path in ("/v1/query", "/v1/vqa"))
    assert alias == vqa


def test_both_ways_to_send_a_key_are_documented_and_probes_need_none(document):
    keys = document["components"]["securitySchemes"].values()
    assert [(key["type"], key.get("scheme") or key.get("name")) for key in keys] == [
        ("http", "bearer"),
        ("apiKey", "X-Moondream-Auth"),
    ]
    assert document["security"][0] == {}
    for path, _, operation in operations(document):
        assert operation.get("security") == ([] if path in PROBES else None)


def test_every_reference_leads_somewhere(document):
    for name in re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)):
        assert name in document["components"]["schemas"]
    assert "#/$defs/" not in json.dumps(document)


@pytest.mark.parametrize("path", ASKED)
def test_every_example_works_when_pasted(client, document, path):
    examples = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["examples"]
    whole = {"/v1/caption": CaptionAnswer, "/v1/chat/completions": ChatCompletion}.get(path, VqaAnswer)
    for example in examples.values():
        response = client.post(path, json=example["value"])
        assert response.status_code == 200, response.text
        if not example["value"].get("stream"):
            assert to_json(whole.model_validate_json(response.content, extra="forbid")) == response.text
            continue
        *events, last = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data")]
        kind = ChatCompletionChunk if "chat" in path else StreamChunk
        assert events
        for event in events:
            assert to_json(kind.model_validate_json(event, extra="forbid")) == event
        assert last == "[DONE]" if "chat" in path else to_json(StreamEnd.model_validate_json(last)) == last


def test_every_body_of_json_is_documented_by_a_model(document):
    for path, method, operation in operations(document):
        for status, response in operation["responses"].items():
            for media_type, content in response.get("content", {}).items():
                if "json" in media_type:
                    assert content["schema"].keys() == {"$ref"}, (method, path, status)


def test_the_streams_in_the_document_are_what_the_models_allow(document):
    for path in ASKED:
        shown = document["paths"][path]["post"]["responses"]["200"]["content"]["text/event-stream"]
        *events, last = [block.removeprefix("data: ") for block in shown["example"].strip().split("\n\n")]
        chunk = ChatCompletionChunk if "chat" in path else StreamChunk
        assert [chunk.model_validate_json(event, extra="forbid") for event in events]
        assert last == "[DONE]" if "chat" in path else StreamEnd.model_validate_json(last, extra="forbid")
        kinds = json.dumps(shown["schema"]["contentSchema"])
        assert ("OpenAIError" if "chat" in path else "StreamFailure") in kinds


def test_the_page_loads_nothing_from_elsewhere_and_runs_nothing_inline(client):
    page = client.get("/docs")
    parts = re.findall(r"(?:src|href)=\"([^\"]+)\"", page.text)
    ours = ["docs/page.css", "docs/swagger-ui-bundle.js", "docs/page.js", "docs/names.js"]
    assert parts == ["playground/favicon.svg", "docs/swagger-ui.css", *ours]
    assert "http" not in page.text
    assert not re.search(r"<script(?! [^>]*src=)|\son\w+=", page.text)
    for part in ("docs", *parts[1:]):
        response = client.get(f"/{part}")
        assert response.is_success
        assert "default-src 'none'; script-src 'self';" in response.headers["content-security-policy"]
        assert response.headers["content-type"].partition(";")[0] in ("text/html", "text/css", "text/javascript")
    assert client.get("/docs/other.js").status_code == 404
    assert client.get("/redoc").status_code == 404
