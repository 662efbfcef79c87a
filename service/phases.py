"""Phases of an answer as stretches of time, for traces: waiting, encoding, prefill, decode.

Times are on the monotonic clock, which all processes of one machine share on Linux, macOS and Windows. Pure; each
`Timeline` has one owner.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

PhaseName = Literal["queue", "fetch", "preprocess", "encode", "prefill", "decode"]
MOST_PHASES = 64  # of a row; one that is preempted without end must not grow


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase of work on a request, from when to when on the monotonic clock.

    Attributes:
        name: what was done.
        start_s: when it began.
        end_s: when it was over.
    """

    name: PhaseName
    start_s: float
    end_s: float


@dataclass(slots=True)
class Timeline:
    """The phases of one row in the order in which they happened; they never overlap.

    Attributes:
        began_s: when the row came.
        phases: so far.

    >>> line = Timeline(1.0)
    >>> line.add("encode", 2.0, 3.0)
    >>> line.add("prefill", 4.0, 5.0)
    >>> line.add("decode", 5.1, 6.0)
    >>> line.add("decode", 7.0, 8.0)
    >>> [(each.name, each.start_s, each.end_s) for each in line.phases]
    [('queue', 1.0, 2.0), ('encode', 2.0, 3.0), ('queue', 3.0, 4.0), ('prefill', 4.0, 5.0), ('decode', 5.0, 8.0)]
    """

    began_s: float
    phases: list[Phase] = field(default_factory=list)

    def add(self, name: PhaseName, start_s: float, end_s: float) -> None:
        """Add a stretch of work; one that goes on with the latest phase makes that longer.

        The time before it was spent waiting, but for decode, which goes on from where the row got its first token.
        """
        latest = self.phases[-1] if self.phases else None
        if latest is not None and (latest.name == name or len(self.phases) >= MOST_PHASES):
            self.phases[-1] = replace(latest, end_s=end_s)
            return
        free_s = self.began_s if latest is None else latest.end_s
        if name == "decode":
            start_s = free_s
        elif start_s > free_s:
            self.phases.append(Phase("queue", free_s, start_s))
        self.phases.append(Phase(name, start_s, end_s))


def within(phases: Iterable[Phase], start_s: float, end_s: float) -> list[Phase]:
    """Cut phases to a stretch of time, so that a clock which is not shared shows nothing absurd.

    >>> within([Phase("queue", 1.0, 2.0), Phase("decode", 3.0, 9.0)], 1.5, 4.0)[0].start_s
    1.5
    """

    def cut(moment_s: float) -> float:
        return min(max(moment_s, start_s), end_s)

    return [replace(each, start_s=cut(each.start_s), end_s=cut(each.end_s)) for each in phases]
