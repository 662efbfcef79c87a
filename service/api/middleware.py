"""The outermost layer: request ids, keys, body size, the access log, the last resort for exceptions, request metrics.

Plain ASGI, because it must see every request and the hang-up of every client. Knows no route but those that need no
key. Event loop.
"""

from __future__ import annotations

import hashlib
import hmac
import logging

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import error_response, internal_problem, problem_response
from service.api.request_context import RequestContext, context_of, open_context
from service.api.uploads import Upload, Uploads
from service.errors import ServiceError, Unauthorized
from service.metrics import Metrics
from service.settings import Settings

PROBES = frozenset({"/livez", "/readyz"})  # they carry no key
# Nor do the playground and the documentation, which are the same for everybody: a browser can send no key before the
# page that asks for it is there. What they then call is closed.
PAGES = frozenset({"/", "/favicon.ico", "/docs", "/openapi.json"})
PAGE_FILES = ("/playground/", "/docs/")
QUIET_PATHS = PROBES | {"/metrics"}
HUNG_UP = 499

logger = logging.getLogger("pheye.edge")
access_logger = logging.getLogger("pheye.access")


class Edge:
    """ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        """Wrap `app`; keys and limits are `settings`'."""
        self._app = app
        self._metrics = metrics
        self._max_body_bytes = settings.max_body_bytes
        self._uploads = Uploads(settings.max_upload_bytes)
        self._keys = [key.get_secret_value().encode() for key in settings.api_keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, from its head to its metrics; other kinds of connection pass."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = open_context(scope)

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                context.sent_status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = context.id
            await send(message)

        try:
            await self._guarded(scope, receive, send_named, context)
        except ClientDisconnect:
            context.outcome = HUNG_UP
            self._metrics.requests_dropped.labels("disconnect").inc()
        finally:
            self._record(scope, context)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send, context: RequestContext) -> None:
        upload = Upload(receive, self._max_body_bytes, self._uploads)

        async def send_late(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                await upload.linger(Headers(scope=scope))
            await send(message)

        try:
            self._check_key(scope)
            upload.check_length(Headers(scope=scope))
            await self._app(scope, upload.receive, send_late)
        except ServiceError as error:
            await error_response(error, scope)(scope, receive, send_late)
        except ClientDisconnect:
            raise
        except Exception:
            logger.exception("request %s failed", context.id)
            if context.sent_status is None:
                await problem_response(internal_problem(scope), scope)(scope, receive, send_late)
            else:
                raise  # half an answer is out: the server breaks the connection, so nobody takes it for a whole one
        finally:
            upload.forget()

    def _check_key(self, scope: Scope) -> None:
        if not self._keys or _is_open(scope["path"]):
            return
        given = _key_of(Headers(scope=scope))
        # Every key is compared, so the time does not tell which one was close.
        matches = [hmac.compare_digest(given, key) for key in self._keys]
        if not any(matches):
            raise Unauthorized("send a valid key as Authorization: Bearer KEY or as X-Moondream-Auth: KEY")
        context_of(scope).owner = hashlib.sha256(given).hexdigest()

    def _record(self, scope: Scope, context: RequestContext) -> None:
        took_s, status = context.age_s, context.status
        route: BaseRoute | None = scope.get("route")
        endpoint = getattr(route, "path", "other")  # never the path itself: anybody may invent paths
        self._metrics.requests.labels(endpoint, str(status)).inc()
        self._metrics.request_seconds.labels(endpoint).observe(took_s)
        quiet = scope["path"] in QUIET_PATHS and status in (200, 503)  # 503: a probe of a service that loads
        access_logger.log(
            logging.DEBUG if quiet else logging.INFO,
            "%s %s %.200r %s %.3fs", context.id, scope["method"], scope["path"], status, took_s,
        )  # fmt: skip


def _is_open(path: str) -> bool:
    return path in PROBES or path in PAGES or path.startswith(PAGE_FILES)


def _key_of(headers: Headers) -> bytes:
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    given = bearer.strip() if scheme.lower() == "bearer" else headers.get("x-moondream-auth", "")
    return given.encode("latin-1", "replace")
