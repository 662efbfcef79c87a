"""Worker processes that die, of a request or while they load, to be run in place of `service.worker.main.run`."""

from __future__ import annotations

import os
import signal
from multiprocessing.connection import Connection

from service.configuration.settings import Settings
from service.worker import main
from service.worker.engine import Engine

PREFILL = "deadly in prefill"  # questions with these words kill whoever works on them
DECODE = "deadly in decoding"


class DeadlyEngine(Engine):
    """The engine, except that some questions kill its process: before their first token, or behind their fifth."""

    def _prefill(self, admissions, step):
        if any(PREFILL in self._waiting[admission.id].row.instruction for admission in admissions):
            die()
        super()._prefill(admissions, step)

    def _decode(self, step):
        if any(DECODE in row.row.instruction and len(row.pieces) >= 5 for row in self._running.values()):
            die()
        super()._decode(step)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run(settings: Settings, device: str, pipe: Connection) -> None:
    """A worker that some questions kill."""
    main.Engine = DeadlyEngine  # in the child process, which is this one
    main.run(settings, device, pipe)


def never_ready(settings: Settings, device: str, pipe: Connection) -> None:
    """A worker that dies while it loads."""
    die()
