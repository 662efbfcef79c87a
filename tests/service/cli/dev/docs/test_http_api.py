"""The tables of the HTTP API hold every route, field and failure there is."""

from __future__ import annotations

from service.api.openapi.failures import ERRORS
from service.cli.dev.docs import http_api
from service.schemas.requests import CaptionRequest, SamplingFields, VqaRequest


def test_every_route_of_the_openapi_document_has_a_line() -> None:
    made = http_api.routes()
    for route in ("POST /v1/caption", "POST /v1/vqa", "DELETE /v1/images/{image_id}", "GET /readyz", "GET /metrics"):
        assert made.count(f"\n| `{route}` | ") == 1


def test_the_table_of_routes_does_not_depend_on_the_environment(monkeypatch) -> None:
    before = http_api.routes()
    monkeypatch.setenv("PHEYE_MODEL", "another")
    monkeypatch.setenv("PHEYE_NO_SUCH_SETTING", "1")
    assert http_api.routes() == before


def test_every_field_has_a_line_that_says_which_requests_take_it() -> None:
    made = http_api.fields()
    for name in CaptionRequest.model_fields | VqaRequest.model_fields:
        assert made.count(f"\n| `{name}` | ") == 1
    assert "\n| `stream` | both | true or false | `false` |" in made
    assert "\n| `length` | caption | `short`, `normal`, `long` | `normal` |" in made
    assert "\n| `questions` | vqa | list of text |  |" in made


def test_every_sampling_setting_has_a_line() -> None:
    made = http_api.sampling()
    for name in SamplingFields.model_fields:
        assert made.count(f"\n| `{name}` | ") == 1
    assert "\n| `stop` | text or list of text |" in made
    assert "\n| `temperature` | number | `0.0` |" in made


def test_every_documented_failure_has_a_line_with_its_type() -> None:
    made = http_api.errors()
    for status in ERRORS:
        assert f"\n| {status} | `/errors/" in made
    assert "\n| 429 | `/errors/waiting-room-full` |" in made
