"""Ids that a request brings along: `X-Request-Id`, and W3C Trace Context's `traceparent` and `tracestate`.

Owns which of them are believed. An id goes into logs and answers, so its characters and its length are checked, and
one that will not do is replaced or left out, never refused. Pure but for random numbers; safe from any thread.
"""

from __future__ import annotations

import re
import secrets
import uuid
from dataclasses import dataclass, field
from typing import Self

from starlette.datastructures import Headers

_REQUEST_ID = re.compile(r"[A-Za-z0-9._~:@+=/-]{1,128}")
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_KEY = r"[a-z0-9][a-z0-9_*/@-]{0,255}"
_VALUE = r"[ -+\--<>-~]{0,255}[!-+\--<>-~]"
_STATE_MEMBER = re.compile(f"{_KEY}={_VALUE}")
MOST_STATE_MEMBERS = 32
MOST_STATE_CHARS = 512
SAMPLED = 1
_KNOWN_FLAGS = 3  # sampled, and (Level 2) a trace id that is random


def request_id_of(headers: Headers) -> str:
    """Return the id that a request brings along, or a new one of 32 hexadecimal digits."""
    given = headers.getlist("x-request-id")
    return given[0] if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]) else uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The place of a request in a distributed trace.

    Attributes:
        trace_id: of the whole trace, 32 hexadecimal digits.
        parent_id: of the caller's span, 16; empty if the trace begins here.
        flags: of `traceparent`; those that have a meaning.
        state: of tracing systems on the way, as `tracestate` has it; empty for none.
        span_id: of this request's own span, 16.
    """

    trace_id: str
    parent_id: str
    flags: int
    state: str = ""
    span_id: str = field(default_factory=lambda: secrets.token_hex(8))

    @classmethod
    def of(cls, headers: Headers) -> Self | None:
        """Read `traceparent`; None if there is none, or more than one, or it is not as W3C Trace Context has it."""
        given = headers.getlist("traceparent")
        found = _TRACEPARENT.fullmatch(given[0].strip()) if len(given) == 1 else None
        if found is None:
            return None
        version, trace_id, parent_id, flags, more = found.groups()
        if version == "ff" or (version == "00" and more) or not trace_id.strip("0") or not parent_id.strip("0"):
            return None
        return cls(trace_id, parent_id, int(flags, 16) & _KNOWN_FLAGS, _state_of(headers))

    @property
    def sampled(self) -> bool:
        """True if the trace is recorded: by the caller, or here if this service records traces."""
        return bool(self.flags & SAMPLED)

    @property
    def traceparent(self) -> str:
        """The header for whoever comes next: the same trace, with this request as the parent."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers with which this service asks on behalf of the request."""
        state = [(b"tracestate", self.state.encode())] if self.state else []
        return [(b"traceparent", self.traceparent.encode()), *state]

    @property
    def exemplar(self) -> dict[str, str] | None:
        """The labels by which a measured value names its trace; none if the trace is not recorded."""
        return {"trace_id": self.trace_id, "span_id": self.span_id} if self.sampled else None


def _state_of(headers: Headers) -> str:
    """Read `tracestate`, whose list may go on in further headers; empty if any part of it is not as it should be."""
    members = [member.strip(" \t") for line in headers.getlist("tracestate") for member in line.split(",")]
    members = [member for member in members if member]
    state = ",".join(members)
    names = [member.partition("=")[0] for member in members]
    fits = len(members) <= MOST_STATE_MEMBERS and len(state) <= MOST_STATE_CHARS and len(set(names)) == len(names)
    return state if fits and all(map(_STATE_MEMBER.fullmatch, members)) else ""
