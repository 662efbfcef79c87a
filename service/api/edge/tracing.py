"""Ids that a request brings along: `X-Request-Id`, and W3C Trace Context's `traceparent`.

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
_SAMPLED = 1


def request_id_of(headers: Headers) -> str:
    """Return the id that a request brings along, or a new one of 32 hexadecimal digits."""
    given = headers.getlist("x-request-id")
    return given[0] if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]) else uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The place of a request in a distributed trace.

    Attributes:
        trace_id: of the whole trace, 32 hexadecimal digits.
        parent_id: of the caller's span, 16.
        sampled: whether the caller records the trace.
        span_id: of this request's own span, 16.
    """

    trace_id: str
    parent_id: str
    sampled: bool
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
        return cls(trace_id, parent_id, bool(int(flags, 16) & _SAMPLED))

    @property
    def traceparent(self) -> str:
        """The header for whoever comes next: the same trace, with this request as the parent."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"

    @property
    def exemplar(self) -> dict[str, str] | None:
        """The labels by which a measured value names its trace; none if the caller does not record it."""
        return {"trace_id": self.trace_id, "span_id": self.span_id} if self.sampled else None
