"""The context of a request in the ASGI scope: its id, its arrival, its owner, its outcome.

Owns the one place in the ASGI scope where this lies. The outermost middleware opens it; routes and responses read it
and may say that the answer ended differently from its status line. Event loop.
"""

from __future__ import annotations

import ipaddress
import time
import uuid
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Scope

from service.api.edge.forwarded import address_in
from service.api.edge.recording import Recording
from service.api.edge.tracing import TraceContext, request_id_of
from service.configuration.client_policy import ClientPolicy, Priority
from service.errors import RateLimited, TooManyConcurrent
from service.messages.rows import Flow
from service.phases import PhaseName

EVERYBODY = ""  # the owner of what is stored where no key is asked for
INNER = "pheye.inner"  # in the scope of a request that another one sends in its client's name
_KEY = "pheye.request"


@dataclass(slots=True)
class RequestContext:
    """One HTTP request, from its first byte to the line in the access log.

    Attributes:
        id: sent as X-Request-Id: the one that the request brought along, else 32 hexadecimal digits.
        trace: the distributed trace that it belongs to, if it says so or traces are recorded here.
        recording: what is noted for its spans, if they are recorded here.
        arrived_s: on the monotonic clock.
        owner: whose images it may see: a digest of its API key, or of the group that shares images with it.
        client: whom fairness counts it for: its API key's digest, else its address.
        address: of the client, behind a trusted proxy the forwarded one; empty if it has none.
        key_name: what people call its API key, if the file of keys has a name for it.
        policy: what the client is entitled to.
        priority: what the request asks for.
        sent_status: the status line, once it is sent.
        outcome: the status that metrics and log show instead, if the request ended otherwise than it began.
        openai: whether its route speaks OpenAI's protocol, in errors too.
        reason: the words of its status line, if they are to be others than the status' own.
        image_digest: of the image file that it brought along, as its answer's header says it; empty without one.
        ignored: the fields that were taken and have no effect, as its answer's header names them.
        sent_as: what the client called fields that errors call otherwise, by their names in errors.
        outside: answers which say that the image is outside the model's known world.
        quiet: whether it is asked so often that the access log leaves it out while all is well.
        inner: whether another request sent it, whose count and whose room for a body hold for it too.
        refusal: why its client's limits refuse it, if its route is to say so in the words of its own protocol.
        work: what its answers took, as fields of its line in the log.
        texts: its prompts and answers, if the log shows them.
        tell_texts: whether the log may show texts of clients.
        refused_as: the kind of its failure, if it failed.
        refused_because: the detail of its failure; may repeat what the client has sent.
        cut_off: whether its connection ended before its body was complete; a flood of these must not fill the log.
    """

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    trace: TraceContext | None = None
    recording: Recording | None = None
    arrived_s: float = field(default_factory=time.monotonic)
    owner: str = EVERYBODY
    client: str = ""
    address: str = ""
    key_name: str = ""
    policy: ClientPolicy = field(default_factory=ClientPolicy)
    priority: Priority = "interactive"
    sent_status: int | None = None
    outcome: int | None = None
    openai: bool = False
    reason: bytes = b""
    image_digest: str = ""
    ignored: str = ""
    sent_as: dict[str, str] = field(default_factory=dict)
    outside: int = 0
    quiet: bool = False
    cut_off: bool = False
    inner: bool = False
    refusal: RateLimited | TooManyConcurrent | None = None
    work: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, Any] = field(default_factory=dict)
    tell_texts: bool = False
    refused_as: str = ""
    refused_because: str = ""

    @property
    def status(self) -> int:
        """The final status of the request; 500 if nothing was sent."""
        return self.outcome or self.sent_status or 500

    @property
    def shown_client(self) -> str:
        """The sender as people read it: the name of its key, or the address of a client without one; else empty."""
        if self.key_name:
            return repr(self.key_name)
        return "" if self.owner else self.address

    @property
    def log_name(self) -> str:
        """The request as log lines name it, in every process: its id, and its trace if there is one."""
        return self.id if self.trace is None else f"{self.id} trace={self.trace.trace_id}"

    @property
    def exemplar(self) -> dict[str, str] | None:
        """The trace that the values measured of this request name in metrics, if anybody records it."""
        return self.trace.exemplar if self.trace else None

    def timed(self, phase: PhaseName) -> AbstractContextManager[None]:
        """Note how long a phase takes, if the request's spans are recorded."""
        return nullcontext() if self.recording is None else self.recording.timed(phase)

    @property
    def flow(self) -> Flow:
        """Whom the request's answers count for; a policy's priority is the highest it can have."""
        bulk = "bulk" in (self.priority, self.policy.priority)
        return Flow(self.client, self.policy.weight, "bulk" if bulk else "interactive")

    @property
    def age_s(self) -> float:
        """The seconds since the request arrived."""
        return time.monotonic() - self.arrived_s


def open_context(scope: Scope) -> RequestContext:
    """Begin a request's context and put it into its scope."""
    address, headers = address_in(_host(scope)), Headers(raw=scope.get("headers", []))
    context = RequestContext(
        request_id_of(headers),
        TraceContext.of(headers),
        client=address_of(scope),
        address=str(address or ""),
        inner=INNER in scope,
    )
    scope[_KEY] = context
    return context


def address_of(scope: Scope) -> str:
    """Return the client's address, which is the forwarded one behind a trusted proxy; for IPv6, its /64 network.

    A household or a machine has a whole IPv6 /64 network to itself, so its addresses count as one client.
    """
    address = address_in(_host(scope))
    if address is None:  # a Unix socket
        return _host(scope)[:64]
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)


def _host(scope: Scope) -> str:
    return str((scope.get("client") or ("",))[0])


def context_of(scope: Scope) -> RequestContext:
    """Return the context of the request that a scope belongs to.

    Raises:
        KeyError: the request did not come through the outermost middleware.
    """
    context: RequestContext = scope[_KEY]
    return context


def sent_names(scope: Scope) -> dict[str, str]:
    """Return the client's own names of fields, to be added to; of a request without a context one that nobody reads."""
    context: RequestContext | None = scope.get(_KEY)
    return {} if context is None else context.sent_as


def take_reason(scope: Scope) -> bytes:
    """Return the words of the status line, once; none for a request that has no context or no words of its own."""
    context: RequestContext | None = scope.get(_KEY)
    if context is None:
        return b""
    reason, context.reason = context.reason, b""
    return reason
