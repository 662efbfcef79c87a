"""Memory that a process could still get here. Reads the kernel's files; any thread."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

MB = 10**6


def available_mb() -> float | None:
    """Return the memory that this process could still get: the machine's, or its container's if that is less."""
    found = list(_available_bytes())
    return min(found) / MB if found else None


def _available_bytes() -> Iterator[int]:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                yield int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux
    try:
        most, used = (
            Path("/sys/fs/cgroup", name).read_text(encoding="ascii") for name in ("memory.max", "memory.current")
        )
        yield int(most) - int(used)
    except (OSError, ValueError):
        pass  # no cgroup, or one without a limit
