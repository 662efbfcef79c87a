"""Memory that a process could still get here. Reads the kernel's files; any thread."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from model.machine.control_groups import memory_left

MB = 10**6


def available_mb() -> float | None:
    """Return the memory that this process could still get: the machine's, or its container's if that is less."""
    found = [each for each in (_machine_bytes(), memory_left()) if each is not None]
    return min(found) / MB if found else None


def _machine_bytes() -> int | None:
    with suppress(OSError):  # not Linux
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None
