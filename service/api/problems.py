"""Error responses as `application/problem+json` (RFC 9457), and in OpenAI's shape on OpenAI's routes.

Knows the error tree of `service.errors` and the framework's own exceptions; nothing here fails. Event loop.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from service.api.encoding import json_response
from service.api.moondream import is_moondream, reason_phrase
from service.api.openai.errors import openai_response
from service.api.request_context import context_of, sent_names
from service.configuration.plain_words import DETAIL_CHARS, plain_value, plain_words
from service.errors import ServiceError, Unauthorized, UnsupportedCoding
from service.schemas.requests import SHOWN_CHARS
from service.schemas.responses import Problem

MEDIA_TYPE = "application/problem+json"
ERRORS = "/errors"
NO_ROUTE = "there is no such route; GET /v1 lists them"
METHODS = ("DELETE", "GET", "POST")  # those that any route takes

logger = logging.getLogger("pheye.problems")


def problem_of(error: ServiceError, scope: Scope) -> Problem:
    """Describe a failure for the client."""
    detail = in_clients_names(error.detail, sent_names(scope))
    return _problem(problem_type(type(error)), error.title, error.status, detail, scope)


def in_clients_names(detail: str, sent_as: Mapping[str, str]) -> str:
    """Name the fields of a detail as their client did; a bare word is a field only where a fault begins.

    >>> in_clients_names("settings.top_p: too high; question: a question", {"settings.top_p": "top_p"})
    'top_p: too high; question: a question'
    >>> in_clients_names("question: the question is long", {"question": "questions"})
    'questions: the question is long'
    """
    for name, sent in sent_as.items():
        bounds = (r"(?<![\w.])", r"(?!\w)") if "." in name else (r"(?:(?<=^)|(?<=; ))", "(?=: )")
        detail = re.sub(bounds[0] + re.escape(name) + bounds[1], sent, detail)
    return detail


def problem_type(kind: type[ServiceError]) -> str:
    """Name a kind of failure by its class, so the name is as stable as the class.

    >>> problem_type(Unauthorized)
    '/errors/unauthorized'
    """
    slug = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind.__name__).lower()
    return f"{ERRORS}/{slug}"


def plain_problem(status: int, detail: str, scope: Scope) -> Problem:
    """Describe a failure that its status explains: no such route, wrong method, an error of the server."""
    return _problem("about:blank", HTTPStatus(status).phrase, status, detail, scope)


def _problem(kind: str, title: str, status: int, detail: str, scope: Scope) -> Problem:
    sendable = detail.encode("utf-8", "replace").decode()  # it may name what a client made up
    context = context_of(scope)
    context.refused_as = kind.removeprefix(f"{ERRORS}/") if kind.startswith(ERRORS) else title.lower().replace(" ", "-")
    context.refused_because = plain_value(sendable, DETAIL_CHARS)
    instance = f"/requests/{context.id}"
    return Problem(type=kind, title=title, status=status, detail=sendable, instance=instance)


def internal_problem(scope: Scope) -> Problem:
    """Describe an unexpected exception: the client learns nothing of it, the log everything."""
    return plain_problem(500, "something went wrong on our side; the log has it under this request id", scope)


def problem_response(problem: Problem, scope: Scope, headers: Mapping[str, str] | None = None) -> Response:
    """Make a response of a problem, in the shape that the request's route promises."""
    context = context_of(scope)
    if is_moondream(scope):
        context.reason = reason_phrase(problem.detail, (headers or {}).get("Retry-After"))
    if context.openai:
        return openai_response(problem, headers)
    return json_response(problem, problem.status, headers, MEDIA_TYPE)


def error_response(error: ServiceError, scope: Scope) -> Response:
    """Make the whole response for a failure, with the headers it calls for."""
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, UnsupportedCoding):
        headers["Accept-Encoding"] = "identity"
    return problem_response(problem_of(error, scope), scope, headers)


async def _service_error(request: Request, error: Exception) -> Response:
    return error_response(cast("ServiceError", error), request.scope)


async def _http_error(request: Request, error: Exception) -> Response:
    http = cast("HTTPException", error)
    detail = {
        404: NO_ROUTE,
        405: f"this route does not take {request.method[:SHOWN_CHARS]}{_preflight_words(request)}",
    }.get(http.status_code, str(http.detail))
    headers = {"Allow": _allowed(request)} if http.status_code == 405 else http.headers
    return problem_response(plain_problem(http.status_code, detail, request.scope), request.scope, headers)


def _preflight_words(request: Request) -> str:
    asks = request.method == "OPTIONS" and "access-control-request-method" in request.headers
    return "; PHEYE_CORS_ORIGINS lists the origins whose pages may call it, and not this one" if asks else ""


def _allowed(request: Request) -> str:
    """List every method that this path takes; the framework names those of the first route only."""
    scopes = {method: dict(request.scope) | {"method": method} for method in METHODS}
    routes = request.app.routes
    taken = [
        method for method, scope in scopes.items() if any(route.matches(scope)[0] is Match.FULL for route in routes)
    ]
    return ", ".join(each for method in taken for each in ((method, "HEAD") if method == "GET" else (method,)))


async def _validation_error(request: Request, error: Exception) -> Response:
    problems = cast("RequestValidationError", error).errors()
    detail = "; ".join(f"{'.'.join(map(str, each['loc']))}: {plain_words(each)}" for each in problems)
    return problem_response(plain_problem(422, detail, request.scope), request.scope)


def answer_with_problems(app: FastAPI) -> None:
    """Make every failure of the app's routes a problem; unexpected ones are left to the outermost middleware."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
