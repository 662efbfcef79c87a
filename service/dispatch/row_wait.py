"""The waiting of a row as the API process sees it: for a worker, and in the queue of each worker that had it.

A worker tells only for how long a row waited there, and one that dies before it admits the row tells nothing. Event
loop.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class RowWait:
    """The waiting of one row, less the encoding of its image where a worker has told of that.

    Attributes:
        elsewhere_s: for which it waited before its present worker had it.
    """

    elsewhere_s: float = 0.0
    _since_s: float | None = field(default_factory=lambda: time.monotonic())  # None while it holds a slot
    _queue_s: float = 0.0  # as its present worker tells, and how much of it went into its image
    _encode_s: float = 0.0

    def given(self) -> None:
        """Note that a worker has it now."""
        self.elsewhere_s, self._since_s = self.so_far_s, time.monotonic()

    def admitted(self, queue_s: float, encode_s: float) -> None:
        """Note that it holds a slot after so long in the worker's queue; `encode_s` of all that went into its image."""
        self._since_s = None
        self._queue_s += queue_s
        self._encode_s = encode_s

    def preempted(self) -> None:
        """Note that it has lost its slot and waits again."""
        self._since_s = time.monotonic()

    def worker_died(self) -> None:
        """Note that it needs another worker, which will know nothing of its waiting."""
        self.elsewhere_s, self._since_s = self.so_far_s, time.monotonic()
        self._queue_s = self._encode_s = 0.0

    @property
    def so_far_s(self) -> float:
        """All its waiting until now."""
        waits_s = 0.0 if self._since_s is None else time.monotonic() - self._since_s
        return self.elsewhere_s + max(0.0, self._queue_s - self._encode_s) + waits_s
