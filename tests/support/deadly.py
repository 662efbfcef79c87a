"""Worker processes that die, of a request or while they load, to be run in place of `service.worker.main.run`."""

from __future__ import annotations

import os
import signal
from multiprocessing.connection import Connection

from service.configuration.settings import Settings
from service.worker import engine, main
from service.worker.engine import Engine
from service.worker.new_rows import new_row

PREFILL = "deadly in prefill"  # questions with these words kill whoever works on them
DECODE = "deadly in decoding"
TAKING_UP = "deadly when it is taken up"
OPENING = "deadly when its image is opened"


class DeadlyEngine(Engine):
    """The engine, except that some questions kill its process: at first, in their prefill, or behind five tokens."""

    def __init__(self, runner, **options):
        super().__init__(runner, **options)
        self._deadly_images, self._open_image = set(), runner.open_image
        runner.open_image = self._open

    def submit(self, message, came_s=None):
        if any(OPENING in row.instruction for row in message.rows):
            self._deadly_images.add(message.image.image_key)
        super().submit(message, came_s)

    def _open(self, image):
        if image.image_key in self._deadly_images:
            die()
        return self._open_image(image)

    def _prefill(self, admissions, step):
        if any(PREFILL in self._waiting[admission.id].row.instruction for admission in admissions):
            die()
        super()._prefill(admissions, step)

    def _decode(self, step):
        if any(DECODE in row.row.instruction and len(row.pieces) >= 5 for row in self._running.values()):
            die()
        super()._decode(step)


def deadly_new_row(runner, row, *rest):
    if TAKING_UP in row.instruction:
        die()
    return new_row(runner, row, *rest)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run(settings: Settings, device: str, pipe: Connection) -> None:
    """A worker that some questions kill."""
    main.Engine, engine.new_row = DeadlyEngine, deadly_new_row  # in the child process, which is this one
    main.run(settings, device, pipe)


def never_ready(settings: Settings, device: str, pipe: Connection) -> None:
    """A worker that dies while it loads."""
    die()
