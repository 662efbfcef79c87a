"""The middleware around the whole app: request ids, CORS, API keys, body size, access log, metrics, unexpected errors.

Plain ASGI, because it must see every request and the hang-up of every client. Knows no route: `service.api.access.keys`
is told which need no key, and a route itself says that the log may leave it out. Event loop.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.access.client_limits import ClientLimits, RefusalDelay, is_forwarding
from service.api.access.keys import ApiKeys, chosen_route
from service.api.connections.shutdown.running import RunningRequests
from service.api.connections.uploads import Upload, Uploads
from service.api.edge.coding import check_coding
from service.api.edge.cors import CorsPolicy
from service.api.edge.paths import with_canonical_path
from service.api.edge.rewriting import as_routed, path_below_prefix
from service.api.openai.errors import speaks_openai
from service.api.openai.ignored import HEADER
from service.api.problems import NO_ROUTE, error_response, internal_problem, plain_problem, problem_response
from service.api.request_context import RequestContext, open_context
from service.api.request_log import HUNG_UP, is_quiet, log_request
from service.configuration.settings import Settings
from service.errors import RateLimited, ServiceError, TooManyConcurrent, Unavailable
from service.images import DIGEST_HEADER
from service.logs import request_fields
from service.metrics.service_metrics import Metrics

if TYPE_CHECKING:
    from service.api.traces.tracing import RequestTracing

TOO_MANY = 429
# No route has one in its path; a route's pattern would also match a path that ends in a line break.
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")

logger = logging.getLogger("pheye.edge")


class RequestMiddleware:
    """ASGI middleware around the whole app: the first to see a request and the last to see its answer."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        metrics: Metrics,
        keys: ApiKeys,
        routes: Sequence[BaseRoute],
        running: RunningRequests,
        uploads: Uploads,
        tracing: RequestTracing | None = None,
    ) -> None:
        """Wrap `app`, whose `keys` and routes these are; limits are `settings`', `running` learns of every request.

        Bodies are counted in `uploads`, and traces recorded by `tracing`, if anything records them.
        """
        self._app = app
        self._metrics = metrics
        self._routes = routes
        self._max_body_bytes = settings.most_body_bytes
        self._body_timeout_s = settings.body_timeout_s
        self._running = running
        self._uploads = uploads
        self._root_path = settings.root_path
        self._cors = CorsPolicy(settings.cors_origins)
        self._keys, self._log_texts = keys, settings.log_texts
        self._limits, self._refusals = ClientLimits(), RefusalDelay()
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, from its head to its metrics; other kinds of connection pass."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = open_context(scope)
        context.tell_texts = self._log_texts
        routed = with_canonical_path(as_routed(scope, self._root_path))
        route = chosen_route(self._routes, routed)
        context.openai = speaks_openai(route)
        if self._tracing is not None and not is_quiet(route):
            self._tracing.begin(scope, context)

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                context.sent_status = message["status"]
                self._name(MutableHeaders(scope=message), scope, context)
            elif scope["method"] == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        try:
            with self._running.noted(context):
                await self._guarded(routed, receive, send_named, context)
        except ClientDisconnect:
            context.outcome = HUNG_UP
            if not context.inner:
                self._metrics.requests_dropped.labels("disconnect").inc()
        finally:
            self._record(scope, routed, context)

    def _name(self, headers: MutableHeaders, scope: Scope, context: RequestContext) -> None:
        """Add what every response says, whoever made it: whose answer it is, and which pages may read it."""
        headers["X-Request-Id"] = context.id
        if context.ignored:
            headers[HEADER] = context.ignored
        if context.image_digest:
            headers[DIGEST_HEADER] = context.image_digest
        if context.trace is not None:
            headers["Traceparent"] = context.trace.traceparent
        self._cors.add_headers(scope, headers)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send, context: RequestContext) -> None:
        upload = Upload(receive, self._uploads, context, max_bytes=self._max_body_bytes, timeout_s=self._body_timeout_s)

        async def send_late(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                if not self._running.stopping:
                    await self._delay_refusal(message, context)
                    await upload.linger(Headers(scope=scope))
                if not upload.complete:
                    MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        try:
            own = self._own_response(scope, context)
            if own is not None:
                await own(scope, receive, send_late)
                return
            upload.check_length(Headers(scope=scope))
            with self._counted_or_noted(scope, context):
                await self._app(scope, upload.receive, send_late)
        except (RateLimited, TooManyConcurrent) as error:
            self._metrics.requests_dropped.labels("rate" if isinstance(error, RateLimited) else "concurrency").inc()
            await error_response(error, scope)(scope, receive, send_late)
        except ServiceError as error:
            await error_response(error, scope)(scope, receive, send_late)
        except ClientDisconnect:
            context.cut_off = not upload.complete
            raise
        except asyncio.CancelledError:
            if not self._running.stopping or context.sent_status is not None:
                raise
            stopped = Unavailable("the service stopped before the answer was complete")
            await error_response(stopped, scope)(scope, receive, send_late)
        except Exception:
            logger.exception("request %s failed", context.log_name, extra=request_fields(context.log_name))
            if context.sent_status is None:
                await problem_response(internal_problem(scope), scope)(scope, receive, send_late)
            else:
                raise  # a part was sent: breaking the connection shows that the answer is not whole
        finally:
            upload.forget()

    def _own_response(self, scope: Scope, context: RequestContext) -> Response | None:
        """Answer what no route has to see; what is left has a valid key if it needs one, and a body as it is.

        Raises:
            Unauthorized: the key is missing or wrong.
            UnsupportedCoding: the body is compressed.
        """
        preflight = self._cors.preflight(scope)
        if preflight is not None:
            context.quiet = True
            return preflight
        if self._root_path and not path_below_prefix(scope):  # the page's links are relative to the slash
            return RedirectResponse(f"{self._root_path}/", 308)
        self._keys.check(scope)
        if _CONTROL_CHARACTER.search(scope["path"]):
            return problem_response(plain_problem(404, NO_ROUTE, scope), scope)
        check_coding(Headers(scope=scope))
        return None

    async def _delay_refusal(self, start: Message, context: RequestContext) -> None:
        headers = Headers(raw=start["headers"])
        if start["status"] == TOO_MANY and "retry-after" in headers:
            delay_s = self._refusals.delay_s(context.client, float(headers["retry-after"]))
            if delay_s:
                await asyncio.sleep(delay_s)

    @contextmanager
    def _counted_or_noted(self, scope: Scope, context: RequestContext) -> Iterator[None]:
        """Count a request; the refusal of a route that has words of its own for it is noted for that route."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self._counted(scope, context))
            except (RateLimited, TooManyConcurrent) as error:
                if not is_forwarding(chosen_route(self._routes, scope)):
                    raise
                context.refusal = error
            yield

    def _counted(self, scope: Scope, context: RequestContext) -> AbstractContextManager[None]:
        """Count a request against its client's limits: each that brings work, which is a POST. Probes do not count.

        An inner request was counted with the one that sends it.
        """
        if scope["method"] != "POST" or context.inner:
            return nullcontext()
        return self._limits.counted(context.client, context.policy)

    def _record(self, scope: Scope, routed: Scope, context: RequestContext) -> None:
        took_s, status = context.age_s, context.status
        route: BaseRoute | None = routed.get("route")
        if route is None and status == TOO_MANY:  # refused by its client's limits, before any route was chosen
            route = chosen_route(self._routes, routed)
        endpoint = getattr(
            route, "path", "other"
        )  # not the path itself: anybody may invent paths, and each would be a series
        self._metrics.requests.labels(endpoint, str(status)).inc()
        self._metrics.request_seconds.labels(endpoint).observe(took_s, context.exemplar)
        if context.refused_as and not context.quiet:  # a probe that is told to wait was not rejected
            self._metrics.count_rejected(context.refused_as, context.key_name)
        if context.outside:
            self._metrics.answers_outside.labels(endpoint).inc(context.outside)
        # 204: a preflight; 503: a probe of a service that loads
        quiet = (
            context.cut_off or (context.quiet and status in (200, 204, 503)) or (context.inner and status == HUNG_UP)
        )
        if route is None and context.refused_as:
            route = chosen_route(self._routes, routed)
        asked = getattr(route, "path", "other")
        log_request(context, scope["method"], scope["path"], asked, logging.DEBUG if quiet else logging.INFO)
        if self._tracing is not None:
            self._tracing.end(scope, context, asked)
