"""The history of a row as the API process sees it: when it came, when it got its slot, what interrupted it.

For traces, and only for what no worker tells: of an answer that was cut off, and of workers that died. Event loop.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

from service.phases import Phase, Timeline

MOST_INTERRUPTIONS = 32  # of a row


@dataclass(frozen=True, slots=True)
class Interruption:
    """An interruption of a row: its worker died, so that another replays it, or another client's row got its slot."""

    kind: Literal["worker died", "preempted"]
    at_s: float
    tokens: int = 0


@dataclass(slots=True)
class RowHistory:
    """The moments of a row, on the monotonic clock.

    Attributes:
        accepted_s: when it came into the queue.
        interruptions: what interrupted it, in order.
    """

    accepted_s: float = field(default_factory=time.monotonic)
    interruptions: list[Interruption] = field(default_factory=list)
    _lost_s: float | None = None  # when the worker before its present one died
    _given_s: float | None = None  # to its present worker
    _slot_s: float | None = None
    _told_s: float | None = None  # when it was known that it has a slot: its prompt has been read
    _before: list[Phase] = field(default_factory=list)  # with workers that died

    def given(self) -> None:
        """Note that a worker has it now."""
        self._given_s = time.monotonic()

    def admitted(self, queue_s: float) -> None:
        """Note that its worker says it has got its slot, after so long in the worker's queue."""
        if self._told_s is None:
            self._told_s = time.monotonic()
            given_s = self._began_s if self._given_s is None else self._given_s
            self._slot_s = min(given_s + queue_s, self._told_s)

    def preempted(self) -> None:
        """Note that it lost its slot."""
        self._note(Interruption("preempted", time.monotonic()))

    def worker_died(self, tokens: int) -> None:
        """Note that its worker died when it had so many tokens."""
        now_s = time.monotonic()
        self._note(Interruption("worker died", now_s, tokens))
        self._before += self._seen(now_s)
        self._lost_s, self._given_s, self._slot_s, self._told_s = now_s, None, None, None

    def phases(self, told: tuple[Phase, ...], now_s: float) -> list[Phase]:
        """Return all its phases until now.

        Args:
            told: by the worker that has finished it; of one that has not, the phases are as they look from here. The
                way to the worker, and the time without one, is spent waiting too.
            now_s: on the monotonic clock.
        """
        if not told:
            return [*self._before, *self._seen(now_s)]
        waited = Phase("queue", self._began_s, told[0].end_s if told[0].name == "queue" else told[0].start_s)
        return [*self._before, waited, *told[told[0].name == "queue" :]]

    @property
    def _began_s(self) -> float:
        return self.accepted_s if self._lost_s is None else self._lost_s

    def _seen(self, now_s: float) -> list[Phase]:
        if self._slot_s is None or self._told_s is None:
            return [Phase("queue", self._began_s, now_s)]
        line = Timeline(self._began_s)
        line.add("prefill", self._slot_s, self._told_s)
        line.add("decode", self._told_s, now_s)
        return line.phases

    def _note(self, interruption: Interruption) -> None:
        if len(self.interruptions) < MOST_INTERRUPTIONS:
            self.interruptions.append(interruption)
