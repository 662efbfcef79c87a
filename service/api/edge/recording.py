"""Recordings: the times and rows noted of a request whose trace is recorded, until its spans are made at its end.

Knows no OpenTelemetry. One `Recording` belongs to one request. Event loop.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from service.dispatch.reservation import AcceptedRow
from service.phases import Phase, PhaseName


@dataclass(frozen=True, slots=True)
class EdgePhase:
    """A phase of the API process, and what ended it if it failed."""

    phase: Phase
    failure: type[BaseException] | None = None


@dataclass(slots=True)
class Recording:
    """The material of a request's spans.

    Attributes:
        span: of the whole request, which has begun; the tracing library's.
        wall_ns: what is added to the monotonic clock, in nanoseconds, to get the time since 1970.
        phases: of the API process.
        rows: the answers that it asked for.
        model: the name of the model that has answered.
        stream: whether the answer was streamed.
    """

    span: Any
    wall_ns: int = field(default_factory=lambda: time.time_ns() - time.monotonic_ns())
    phases: list[EdgePhase] = field(default_factory=list)
    rows: Sequence[AcceptedRow] = ()
    model: str = ""
    stream: bool = False

    def unix_ns(self, moment_s: float) -> int:
        """Turn a moment of the monotonic clock into nanoseconds since 1970."""
        return int(moment_s * 1e9) + self.wall_ns

    @contextmanager
    def timed(self, name: PhaseName) -> Iterator[None]:
        """Note how long a phase takes, and what ends it if it fails."""
        started_s = time.monotonic()
        failure: type[BaseException] | None = None
        try:
            yield
        except BaseException as error:
            failure = type(error)
            raise
        finally:
            self.phases.append(EdgePhase(Phase(name, started_s, time.monotonic()), failure))
