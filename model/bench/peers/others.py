"""Cores that other processes used while something was measured, so that a figure says how quiet its machine was.

Reads Linux's counters; elsewhere nothing is told. Any thread.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

_STAT = Path("/proc/stat")
_IDLE = (3, 4)  # fields of the first line: idle, iowait
_COUNTED = 8  # user, nice, system, idle, iowait, irq, softirq, steal; guests are in user


class OtherWork:
    """Cores in use by others since this was made."""

    def __init__(self) -> None:
        self._wall_s, self._own_s, self._busy_s = _now()

    def cores(self) -> float | None:
        """Return the mean number of cores that others used; None where the system does not tell."""
        wall_s, own_s, busy_s = _now()
        if self._busy_s is None or busy_s is None:
            return None
        others_s = (busy_s - self._busy_s) - (own_s - self._own_s)
        return max(0.0, others_s / max(wall_s - self._wall_s, 1e-9))


def _now() -> tuple[float, float, float | None]:
    try:
        line = _STAT.read_text(encoding="ascii").splitlines()[0]
    except OSError:
        return time.monotonic(), time.process_time(), None
    return time.monotonic(), time.process_time(), busy_ticks(line) / os.sysconf("SC_CLK_TCK")


def busy_ticks(line: str) -> int:
    """Return the ticks in which a core worked, of the first line of /proc/stat.

    >>> busy_ticks("cpu  10 1 2 500 30 0 3 4 9 9")
    20
    """
    ticks = [int(part) for part in line.split()[1 : 1 + _COUNTED]]
    return sum(count for place, count in enumerate(ticks) if place not in _IDLE)
