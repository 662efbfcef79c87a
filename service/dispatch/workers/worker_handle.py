"""The handle by which the API process starts, feeds and ends a worker process.

Knows no requests: it carries messages. Its two threads keep the pipe from ever blocking the event loop; its callbacks
are called in the event loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from service.configuration.settings import Settings
from service.messages.from_worker import FromWorker
from service.messages.to_worker import Stop, ToWorker
from service.worker import early
from service.worker.early import run
from service.worker.settings import worker_settings

STOP_S = 5.0  # how long a worker may take to end when asked

logger = logging.getLogger("pheye.worker")


class WorkerProcess:
    """A running worker, seen from the API process; the first is the process that was begun early, if one was.

    Args:
        settings: given to the child.
        device: what it computes on.
        on_message: called with each message, in the event loop's thread.
        on_exit: called once with the exit code, after the last message.

    Raises:
        OSError, RuntimeError: the machine has no process, thread or descriptor left.
    """

    def __init__(
        self,
        settings: Settings,
        device: str,
        on_message: Callable[[FromWorker], None],
        on_exit: Callable[[int | None], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_message, self._on_exit = on_message, on_exit
        self._process, self._pipe = _begun_early(settings, device) or _spawned(settings, device)
        self._outbox: queue.SimpleQueue[ToWorker | None] = queue.SimpleQueue()
        self._start_threads()

    def _start_threads(self) -> None:
        try:
            for target in (self._send, self._receive):  # in this order: the receiving one reports the worker's end
                threading.Thread(target=target, daemon=True).start()
        except RuntimeError:  # the system gives no more threads
            self._outbox.put(None)
            self.kill()
            raise

    @property
    def pid(self) -> int | None:
        """The process id of the child."""
        return self._process.pid

    def send(self, message: ToWorker) -> None:
        """Queue a message; what a dead worker does not receive, its successor will be told."""
        self._outbox.put(message)

    def kill(self) -> None:
        """End the worker process now; `on_exit` follows."""
        self._process.kill()

    async def stop(self) -> None:
        """Ask the worker process to end, and insist."""
        self.send(Stop())
        with suppress(RuntimeError):  # no thread left to wait in
            await asyncio.to_thread(self._process.join, STOP_S)
        self.kill()
        with suppress(RuntimeError):
            await asyncio.to_thread(self._process.join)

    def _send(self) -> None:
        try:
            while (message := self._outbox.get()) is not None:
                self._pipe.send(message)
        except OSError:
            logger.debug("worker %s is gone; messages to it are dropped", self.pid)
        except Exception:  # of any kind: a worker that nobody can write to would wait for ever
            logger.exception("worker %s cannot be sent a message, and is replaced", self.pid)
            self.kill()

    def _receive(self) -> None:
        try:
            while True:
                self._tell(self._on_message, self._pipe.recv())
        except (EOFError, OSError):
            self._process.join(STOP_S)  # wait a moment for its exit code; the worker cannot go on without its pipe
        except Exception:  # of any kind: its code may be newer than ours, or memory short
            logger.exception("worker %s sent what cannot be read, and is replaced", self.pid)
        self._process.kill()
        self._process.join()
        self._outbox.put(None)
        self._tell(self._on_exit, self._process.exitcode)

    def _tell(self, callback: Callable[..., None], value: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, value)
        except RuntimeError:
            logger.debug("the event loop is closed; nobody waits for worker %s", self.pid)


def _begun_early(settings: Settings, device: str) -> tuple[BaseProcess, Connection] | None:
    """Make a worker of the process that was begun early; None if there is none, or it has died."""
    begun = early.take()
    if begun is None:
        return None
    try:
        begun.pipe.send((run, worker_settings(settings), device))
    except OSError:
        begun.pipe.close()
        return None
    return begun


def _spawned(settings: Settings, device: str) -> tuple[BaseProcess, Connection]:
    """Start a worker process; returns it with our end of its pipe."""
    context = multiprocessing.get_context("spawn")
    pipe, child_end = context.Pipe()
    arguments = worker_settings(settings), device, child_end
    process = context.Process(target=run, args=arguments, name=f"pheye-{device}", daemon=True)
    process.start()
    child_end.close()  # else the pipe would stay open when the child ends
    return process, pipe
