"""The service under attack: a real server with its worker processes, and what Linux tells about them.

Linux only: it reads `/proc`. The processes it signals are the server that it started and that server's children.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.serving import Server, running_server, wait_until

MIB = 1024**2
READY = re.compile(r"worker \d+ on \S+ \(process (\d+)\) is ready")
RECOVERY_S = 90.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What the server's own process holds."""

    rss_bytes: int
    descriptors: int
    tasks: int

    def __str__(self) -> str:
        return f"{self.rss_bytes / MIB:.0f} MiB, {self.descriptors} descriptors, {self.tasks} tasks"


@dataclass(frozen=True, slots=True)
class Victim:
    """A running service that may be hurt."""

    server: Server

    @property
    def url(self) -> str:
        """The address of the service."""
        return self.server.url

    @property
    def pid(self) -> int:
        """The process id of the server."""
        return self.server.process.pid

    @property
    def worker(self) -> int:
        """The process id of the latest worker that was ready."""
        return int(READY.findall(self.server.log)[-1])

    @property
    def descendants(self) -> list[int]:
        """The process ids of everything that the server has started and that still runs."""
        found, new = [], [self.pid]
        while new:
            new = [child for pid in new for child in _children(pid)]
            found += new
        return found

    def kill_worker(self, signum: signal.Signals = signal.SIGKILL) -> None:
        """Signal the worker that was ready last."""
        os.kill(self.worker, signum)

    def await_another_worker(self, than: int) -> None:
        """Wait until a worker with another process id is ready."""
        wait_until(lambda: self.worker != than and self.is_ready(), RECOVERY_S)

    def is_ready(self) -> bool:
        """Say whether /readyz is 200."""
        return httpx.get(f"{self.url}/readyz", timeout=10.0).status_code == 200

    def usage(self) -> Usage:
        """Read what the server holds now."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        rss_kib = int(_found(r"VmRSS:\s+(\d+)", status))
        tasks = int(self.server.metric("pheye_event_loop_tasks"))
        return Usage(1024 * rss_kib, len(os.listdir(f"/proc/{self.pid}/fd")), tasks)


def _children(pid: int) -> list[int]:
    children: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            children += map(int, (task / "children").read_text(encoding="ascii").split())
    except (FileNotFoundError, ProcessLookupError):
        pass  # it has just ended
    return children


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None, f"{pattern} is not in {text}"
    return match[1]


@contextmanager
def victim(**settings: Any) -> Iterator[Victim]:
    """Start a service that serves the built-in model unless the settings say otherwise."""
    with running_server(warm=False, **{"model": "pheye-tiny", **settings}) as server:
        yield Victim(server)
