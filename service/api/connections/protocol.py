"""One connection: uvicorn's HTTP/1.1 protocol with strict framing, bounded buffers, and a close that always ends.

Keeps the facts by which `service.api.connections.policy` judges. Knows no routes but the probes. Event loop.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol
from uvicorn.server import ServerState

from service.api.connections.framing import EVENTS_PER_TURN, NOT_HTTP, StrictConnection
from service.api.connections.policy import Facts, Phase
from service.api.connections.registry import OpenConnections
from service.api.connections.tls import ServerTls
from service.api.edge.rewriting import as_routed, path_below_prefix
from service.api.encoding import to_json
from service.api.problems import MEDIA_TYPE, error_response, plain_problem, problem_of
from service.api.request_context import address_of, open_context, take_reason
from service.errors import HeadTooLarge, ServiceError, Unavailable

PROBE_PATHS = ("/livez", "/readyz", "/health", "/healthz", "/ping", "/metrics")
FULL = "too many connections are open; try again"
# What a peer is told whose connection is closed before its request was complete.
LAST_WORDS = {
    "head": (408, "the request head did not come in time"),
    "evicted": (503, FULL),
}
DOCUMENTED: dict[int, type[ServiceError]] = {431: HeadTooLarge, 503: Unavailable}


class GuardedProtocol(H11Protocol):
    """A server's side of one connection."""

    conn: StrictConnection

    def __init__(
        self,
        connections: OpenConnections,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Begin with a connection that nobody has accepted yet; it will be one of `connections`."""
        super().__init__(config, server_state, app_state, _loop)
        self.conn = StrictConnection()
        self.conn.reason_of = self._reason
        now_s = time.monotonic()
        self.facts = Facts(since_s=now_s, heard_s=now_s)
        self._connections = connections
        self._answered = False
        self._told_why = False
        self._shaking: asyncio.Task[None] | None = None
        self._early = b""  # what was decrypted before the handshake's own task went on

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection, or refuse it when there are too many."""
        super().connection_made(transport)
        self.flow = _BoundedFlow(transport, self.conn)
        self.facts.address = address_of({"client": self.client})
        self.facts.proxy = self._connections.is_proxy(self.client[0] if self.client else "")
        self._connections.admit(self)
        if self._connections.tls is not None and not transport.is_closing():
            self._shaking = self.loop.create_task(self._shake_hands(transport, self._connections.tls))

    async def _shake_hands(self, plain: asyncio.Transport, tls: ServerTls) -> None:
        """Put TLS between the peer and this; what is sent from now on is encrypted."""
        transport = await tls.upgrade(plain, self)
        if transport is None or transport.is_closing():
            plain.abort()
            self.connection_lost(None)  # nobody else says so before the handshake is over
            return
        self.transport, self.scheme = transport, "https"
        self.flow = _BoundedFlow(transport, self.conn)
        self._shaking = None
        early, self._early = self._early, b""
        if early:
            self.data_received(early)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the connection."""
        self._connections.forget(self)
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; those of a peer that was refused are dropped."""
        self.facts.heard_s = time.monotonic()
        if self._shaking is not None:
            self._early += data
        elif not self._told_why and not self.transport.is_closing():
            super().data_received(data)

    def handle_events(self) -> None:
        """Handle what has been received, for one turn of the event loop at most."""
        self.conn.budget = EVENTS_PER_TURN
        super().handle_events()
        self._update()
        if self._told_why:
            return
        if self.conn.budget <= 0:
            self.flow.pause_reading()
            self.loop.call_soon(self._go_on)
        elif self.facts.phase in ("head", "idle"):
            self.flow.resume_reading()

    def _go_on(self) -> None:
        if self._told_why or self.transport.is_closing():
            return
        self.handle_events()
        if not self.conn.unread and (self.cycle.response_complete or len(self.cycle.body) <= HIGH_WATER_LIMIT):
            self.flow.resume_reading()

    def on_response_complete(self) -> None:
        """Go on with the next request, if a part of it is here."""
        self._answered = True
        super().on_response_complete()
        self._update()

    def _update(self) -> None:
        self.facts.enter(self._phase(), time.monotonic())

    def _phase(self) -> Phase:
        if self.transport.is_closing():
            return "closing"
        if self._told_why:
            return "refused"
        if self.cycle is not None and not self.cycle.response_complete:
            return "body" if self.cycle.more_body else "busy"
        if self.conn.their_state is not h11.IDLE:
            return "leftover" if self.conn.their_state is h11.SEND_BODY else "idle"
        return "idle" if self._answered and not self.conn.trailing_data[0] else "head"

    def _reason(self) -> bytes:
        return b"" if self.cycle is None else take_reason(dict(self.cycle.scope))

    def observe(self, now_s: float) -> None:
        """Bring the facts about unsent bytes up to date."""
        self.facts.note_unsent(self.conn.sent_bytes, self.transport.get_write_buffer_size(), now_s)

    def close_after_answer(self) -> None:
        """Say `Connection: close` with the next answer."""
        self.conn.last = True

    def probes_only(self) -> None:
        """Answer nothing but the probes and the metrics, once."""
        self.conn.last = True
        answer = self.app

        async def probes(scope: Scope, receive: Receive, send: Send) -> None:
            routed = as_routed(scope, self._connections.root_path)
            if path_below_prefix(routed) in PROBE_PATHS:
                await answer(scope, receive, send)
                return
            self._connections.count("full")
            context, response = open_context(routed), error_response(Unavailable(FULL), routed)
            response.headers["X-Request-Id"] = context.id
            self._connections.cors.add_headers(routed, response.headers)
            await response(routed, receive, send)

        self.app = probes

    def abort(self) -> None:
        """Close the connection without sending what is left."""
        self.transport.abort()
        self._update()

    def shutdown(self) -> None:
        """Close when the answer under way is complete, or now if there is none."""
        if not self._told_why and not self.transport.is_closing():
            super().shutdown()

    def give_up(self, reason: str) -> None:
        """Close, with a word to a peer that has begun a request and can still hear it."""
        if self._shaking is not None:
            self.abort()
            return
        begun = self.facts.phase == "body" or (self.facts.phase == "head" and bool(self.conn.trailing_data[0]))
        if reason in LAST_WORDS and begun:
            self._refuse(*LAST_WORDS[reason])
        else:
            self.abort()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, or not unambiguous."""
        error = self.conn.error
        self._connections.count("malformed")
        self._refuse(error.error_status_hint if error else 400, f"HTTP: {error or NOT_HTTP}")

    def _refuse(self, status: int, detail: str) -> None:
        """Answer with a problem and close, but read on for a moment: unread bytes would reset the connection."""
        self._told_why = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE) or self.transport.is_closing():
            self.abort()
            return
        try:
            self._send_problem(status, detail)
        except OSError:  # the peer has gone
            self.abort()
            return
        self._unset_keepalive_if_required()
        self.flow.read_paused = False
        self.transport.resume_reading()
        self._update()

    def _send_problem(self, status: int, detail: str) -> None:
        scope: Scope = {"client": self.client}
        context = open_context(scope)
        kind = DOCUMENTED.get(status)
        problem = problem_of(kind(detail), scope) if kind else plain_problem(status, detail, scope)
        body = to_json(problem).encode()
        headers = [
            ("content-type", MEDIA_TYPE), ("content-length", str(len(body))), ("connection", "close"),
            ("x-request-id", context.id),
        ]  # fmt: skip
        if status == 503:
            headers.append(("retry-after", str(Unavailable.retry_after_s)))
        head = h11.Response(status_code=status, headers=headers, reason=STATUS_PHRASES[status])
        for event in (head, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event))
        if self.transport.can_write_eof():  # with TLS the peer learns it from the length, and is closed in a moment
            self.transport.write_eof()


class _BoundedFlow(FlowControl):
    """Flow control that reads nothing more while much of what was read could not be handled yet."""

    def __init__(self, transport: asyncio.Transport, conn: StrictConnection) -> None:
        super().__init__(transport)
        self._conn = conn

    def resume_reading(self) -> None:
        """Read on, unless much is unread already."""
        if not self._conn.unread:
            super().resume_reading()
