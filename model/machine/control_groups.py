"""Cores and memory that the kernel's control groups leave this process: a container's, or a service's of systemd.

Reads both versions of their files, of the process's own group and of those around it. Pure; any thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_UNREADABLE = (OSError, ValueError)  # no such file, or a limit of "max"
# Files of memory: the limit, what is used, and of that what the kernel takes back when others need it.
_MEMORY = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def cores_left() -> float | None:
    """Return the number of cores that groups let this process use; None without a limit."""
    return min((quota for folder in _folders("cpu") for quota in _quotas(folder)), default=None)


def memory_left() -> int | None:
    """Return the bytes that groups still let this process get; None without a limit."""
    return min((left for folder in _folders("memory") for left in _memory_left(folder)), default=None)


def _quotas(folder: Path) -> Iterator[float]:
    with suppress(*_UNREADABLE):
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        yield int(quota) / int(period)
    with suppress(*_UNREADABLE):
        micros = int((folder / "cpu.cfs_quota_us").read_text(encoding="ascii"))
        if micros > 0:  # -1 is no limit
            yield micros / int((folder / "cpu.cfs_period_us").read_text(encoding="ascii"))


def _memory_left(folder: Path) -> Iterator[int]:
    for limit, used, reclaimable in _MEMORY:
        with suppress(*_UNREADABLE):
            most, now = (int((folder / name).read_text(encoding="ascii")) for name in (limit, used))
            yield most - now + _stat(folder / "memory.stat", reclaimable)


def _stat(path: Path, name: str) -> int:
    with suppress(*_UNREADABLE):
        lines = (line.split() for line in path.read_text(encoding="ascii").splitlines())
        return next((int(value) for key, value in lines if key == name), 0)
    return 0


def _folders(controller: str) -> list[Path]:
    """Return the folders of this process's group and of those around it that may hold a controller's files.

    Within a container the mounted folder may be that of its own group, and the path one of the host's: that it is not
    there does no harm, for the mounted folder itself is always among them.
    """
    found: list[Path] = []
    with suppress(*_UNREADABLE):
        for line in _OWN.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            root = _GROUPS / controller if controllers else _GROUPS  # the second version has one tree for all
            own = root / path.lstrip("/")
            found += [own, *(folder for folder in own.parents if folder.is_relative_to(root))]
    return found
