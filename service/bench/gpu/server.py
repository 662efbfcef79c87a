"""Servers for measurements: the service and the naive server, each started when a part of a run needs it.

Owns their processes; what they say goes into the run's log. One at a time: each takes what the device has. One thread.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import httpx

from service.bench.gpu.part import ROOT, child_environment

SLOTS, CONTEXT_TOKENS, MAX_TOKENS = 64, 384, 20
STOP_S, POLL_S = 10.0, 0.1
_SERVE = "import sys; sys.argv[0] = 'pheye'; from service.cli.entry import main; main()"
_LISTENING = re.compile(r"listening on (http://\S+);")


class ServerLost(RuntimeError):
    """A server does not become ready; the message says what was seen."""


class LoadedServer:
    """A server in a process of its own.

    Args:
        log: the run's log.
        own_log: where the server writes, which is appended to the log when it ends.
    """

    def __init__(self, log: IO[bytes], own_log: Path) -> None:
        self._log = log
        self._own_log = own_log
        self._process: subprocess.Popen[bytes] | None = None
        self.kind = ""
        self.url = ""
        self.start_s = 0.0

    @property
    def pid(self) -> int:
        """The process id of the server; 0 if there is none."""
        return self._process.pid if self._process is not None else 0

    def ensure(self, kind: str, model: str, device: str, limit_s: float) -> bool:
        """Start this kind of server unless it runs, end any other, and say whether it had to be started.

        Raises:
            ServerLost: it does not become ready in time.
        """
        if self.kind == kind and self._process is not None and self._ready():
            return False
        self.stop()
        self.start(kind, command_words(kind, model, device), limit_s)
        return True

    def start(self, kind: str, words: Sequence[str], limit_s: float) -> None:
        """Start a server by the words after `pheye`, and wait until it is ready.

        Raises:
            ServerLost: it does not become ready in time.
        """
        started_s = time.monotonic()
        with self._own_log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-c", _SERVE, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=ROOT,
                env=child_environment(),
            )
        self.kind, self.url = kind, ""
        while not self._ready():
            time.sleep(POLL_S)
            code, late = self._process.poll(), time.monotonic() - started_s > limit_s
            if code is not None or late:
                self.stop()
                raise ServerLost(f"{kind}: " + (f"not ready after {limit_s:.0f} s" if late else f"ended with {code}"))
        self.start_s = time.monotonic() - started_s

    def _ready(self) -> bool:
        """Say whether the server reports that it is ready."""
        if not self.url:
            found = _LISTENING.search(self._own_log.read_text(encoding="utf-8", errors="replace"))
            if found is None:
                return False
            self.url = found[1]
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5.0, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def stop(self) -> None:
        """End the server, and its workers with it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process, self.kind, self.url = None, "", ""
            self._log.write(self._own_log.read_bytes())


def command_words(kind: str, model: str, device: str) -> list[str]:
    """Return the words after `pheye` that start a server of this kind."""
    shared = ["--model", model, "--port", "0"]
    if kind == "baseline":
        return ["dev", "baseline", *shared, "--device", device]
    sizes = {
        "slots": SLOTS,
        "max-waiting": 512,
        "context-tokens": CONTEXT_TOKENS,
        "default-max-tokens": MAX_TOKENS,
        "preprocess-threads": 8,
        "feature-cache-bytes": 256 << 20,  # full before the soak begins, whose memory then should not grow
        "drain-grace-s": 1,
    }
    flags = [word for name, value in sizes.items() for word in (f"--{name}", str(value))]
    return ["serve", *shared, "--devices", device, *flags]
