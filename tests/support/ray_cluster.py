"""A Ray cluster of one machine for tests; Ray listens on the machine's addresses, so only in a network of their own."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from tests.support.serving import wait_until

ROOT = Path(__file__).parents[2]
START_S, STOP_S = 120.0, 30.0
needs_ray = pytest.mark.skipif(
    find_spec("ray") is None or [name for _, name in socket.if_nameindex()] != ["lo"],
    reason="needs the extra `ray` and a network that is loopback alone: `make ray`",
)


@dataclass(frozen=True)
class RayCluster:
    """A running head node."""

    head: subprocess.Popen[bytes]
    variables: Mapping[str, str]

    def start(self, *command: str, log: Path, **settings: object) -> subprocess.Popen[bytes]:
        """Start a program that uses the cluster, with these settings of the service."""
        chosen = {f"PHEYE_{name.upper()}": str(value) for name, value in settings.items()}
        with log.open("ab") as file:
            return subprocess.Popen(
                [sys.executable, *command], env={**self.variables, **chosen}, cwd=ROOT, stdout=file, stderr=file
            )

    def processes(self, title: str) -> list[psutil.Process]:
        """The processes of the cluster that have words in their titles, the oldest first."""
        found = [each for each in psutil.Process(self.head.pid).children(recursive=True) if title in _title(each)]
        return sorted(found, key=lambda each: each.create_time())

    def kill(self, title: str) -> int:
        """Kill the oldest process that has words in its title; wait until there is one."""
        process = wait_until(lambda: next(iter(self.processes(title)), None), START_S)
        process.kill()
        return process.pid


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@contextmanager
def ray_cluster(**variables: str) -> Iterator[RayCluster]:
    """Run a cluster that believes in eight cores; its files have short names, for sockets are among them."""
    with TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        yield from _running(Path(folder), variables)


def _running(folder: Path, variables: Mapping[str, str]) -> Iterator[RayCluster]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PHEYE_", "RAY_"))}
    own = {"HOME": str(folder), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "RAY_ADDRESS": "127.0.0.1:6379",
           "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex()}  # fmt: skip
    environment = {**inherited, **own, **variables}
    starting = {name: value for name, value in environment.items() if name != "RAY_ADDRESS"}
    log = folder / "head.log"
    command = ["-m", "ray.scripts.scripts", "start", "--head", "--block", "--node-ip-address=127.0.0.1", "--port=6379",
               "--num-cpus=8", "--object-store-memory=1000000000", f"--temp-dir={folder / 'ray'}"]  # fmt: skip
    with log.open("wb") as file:
        head = subprocess.Popen([sys.executable, *command], env=starting, cwd=ROOT, stdout=file, stderr=file)
    try:
        wait_until(lambda: b"Ray runtime started" in log.read_bytes() or head.poll() is not None, START_S)
        assert head.poll() is None, log.read_text()
        yield RayCluster(head, environment)
    finally:
        _end(head)


def _end(head: subprocess.Popen[bytes]) -> None:
    if head.poll() is None:
        children = psutil.Process(head.pid).children(recursive=True)
        head.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs([psutil.Process(head.pid), *children], STOP_S)
        for process in alive:
            process.kill()
        head.wait()
