"""Problems in OpenAI's shape."""

from __future__ import annotations

import pytest

from service.api.access.keys import chosen_route
from service.api.openai.errors import openai_error, openai_response, speaks_openai
from service.api.problems import error_response, problem_of
from service.api.request_context import open_context
from service.api.routes import caption_vqa, openai
from service.errors import (
    BadRequest,
    DeadlineExceeded,
    InvalidField,
    ModelNotFound,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnsupportedParameter,
    WaitingRoomFull,
)

SCOPE = {"type": "http", "path": "/v1/chat/completions"}
open_context(SCOPE)


@pytest.mark.parametrize(
    ("error", "kind", "param", "code"),
    [
        (BadRequest("body: not valid JSON"), "invalid_request_error", None, "bad_request"),
        (BadRequest("image_url: broken base64"), "invalid_request_error", "messages", "bad_request"),
        (Unauthorized("send a valid key: KEY"), "authentication_error", None, "invalid_api_key"),
        (ModelNotFound("model: no such"), "invalid_request_error", "model", "model_not_found"),
        (TooLarge("image: too many pixels"), "invalid_request_error", "messages", "too_large"),
        (InvalidField("messages[0].content[1].image_url.url: x"), "invalid_request_error",
         "messages[0].content[1].image_url.url", "invalid_value"),
        (InvalidField("settings.max_tokens: 5"), "invalid_request_error", "max_tokens", "invalid_value"),
        (InvalidField("question: its prompt"), "invalid_request_error", "messages", "invalid_value"),
        (UnsupportedParameter("n: 1 only"), "invalid_request_error", "n", "unsupported_parameter"),
        (WaitingRoomFull("1 of 1 places are taken"), "rate_limit_error", None, "rate_limit_exceeded"),
        (Unavailable("loading: soon"), "server_error", None, "unavailable"),
        (DeadlineExceeded("no answer"), "server_error", None, "deadline_exceeded"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)  # fmt: skip
def test_a_problem_is_told_in_openais_words(error, kind, param, code):
    told = openai_error(problem_of(error, SCOPE)).error
    assert (told.type, told.param, told.code) == (kind, param, code)
    assert told.message == error.detail or told.message.startswith(f"{param}: ")


def test_a_broken_image_is_called_an_image():
    told = openai_error(problem_of(InvalidField("image: broken or cut short"), SCOPE)).error
    assert (told.param, told.message) == ("messages", "messages: image: broken or cut short")


@pytest.mark.parametrize(("status", "again"), [(429, None), (500, "false"), (503, None), (504, "false")])
def test_a_client_is_told_not_to_repeat_what_cannot_succeed(status, again):
    problem = problem_of(Unavailable("x"), SCOPE).model_copy(update={"status": status})
    assert openai_response(problem).headers.get("x-should-retry") == again


def scope_of(path):
    """The scope of a request whose route was looked up, as the middleware does it."""
    scope = SCOPE | {"path": path, "method": "GET", "headers": []}
    open_context(scope).openai = speaks_openai(chosen_route(openai.router.routes, scope))
    return scope


def test_the_shape_follows_the_route():
    scopes = [scope_of(path) for path in ("/v1/models/x", "/v1/vqa")]
    chat, native = (error_response(InvalidField("a: b"), scope) for scope in scopes)
    assert (chat.status_code, chat.media_type) == (400, "application/json")
    assert (native.status_code, native.media_type) == (422, "application/problem+json")
    assert not speaks_openai(None)
    assert all(map(speaks_openai, openai.router.routes))
    assert not any(map(speaks_openai, caption_vqa.router.routes))


@pytest.mark.parametrize("path", ["/v1/models", "/v1/vqa"])
def test_words_of_a_client_that_no_encoding_has_are_still_sent(path):
    response = error_response(InvalidField("\ud800: unknown field"), scope_of(path))
    assert "?: unknown field" in bytes(response.body).decode()
