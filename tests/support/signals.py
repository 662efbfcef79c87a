"""Signals in the processes that tests start, whatever the suite itself was started with."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path


def take_interrupts() -> None:
    """As a child's `preexec_fn`: Ctrl-C reaches it even when the suite ignores SIGINT (`nohup make test &`)."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupted_at_a_pipe(command: list[str], pipe: Path) -> subprocess.CompletedProcess[str]:
    """Run a command that reads from a new pipe into which nobody writes, and press Ctrl-C once when it reads."""
    os.mkfifo(pipe)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=take_interrupts)
    writer, until = -1, time.monotonic() + 60
    try:
        while writer < 0:
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < until
            try:
                writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)  # fails as long as nobody reads
            except OSError:
                time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    finally:
        process.kill()
        if writer >= 0:
            os.close(writer)
    return subprocess.CompletedProcess(command, process.returncode, None, said)
