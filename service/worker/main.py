"""The worker process: its main function, and the handle by which the API process starts, feeds and ends it.

`run` is where the model is loaded, in the child process. The handle's two threads keep the pipe from ever blocking the
event loop; its callbacks are called in the event loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import queue
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from service.messages import (
    Alive,
    Cancel,
    Forget,
    FromWorker,
    LoadFailed,
    ModelCard,
    Prefetch,
    Ready,
    Stop,
    Submit,
    ToWorker,
)
from service.settings import Settings
from service.worker.engine import Engine

if TYPE_CHECKING:
    from model.runtime.runner import ModelRunner

IDLE_S = 1.0  # how often an idle worker says that it is alive
STOP_S = 5.0  # how long a worker may take to end when asked

logger = logging.getLogger("pheye.worker")


def load_runner(settings: Settings, device: str) -> ModelRunner:
    """Load and warm up the model that the settings name.

    Raises:
        ValueError: it cannot be served; the message says what to change.
    """
    from model.runtime.load import load_runner as load

    return load(
        settings.model,
        revision=settings.revision,
        name=settings.name,
        device=device,
        dtype=settings.dtype,
        threads=settings.threads,
        workers=len(settings.devices.split(",")),
        slots=settings.slots,
        context_tokens=settings.context_tokens,
        feature_cache_bytes=settings.feature_cache_bytes,
    )


def run(settings: Settings, device: str, pipe: Connection) -> None:
    """The worker process, from start to end."""
    # The API process decides when a worker ends; a Ctrl-C in the terminal reaches the whole group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    started = time.monotonic()
    try:
        runner = load_runner(settings, device)
    except (ValueError, OSError) as error:
        pipe.send(LoadFailed(str(error)))
        return
    pipe.send(Ready(_card(runner), runner.tokenizer, time.monotonic() - started))
    engine = Engine(runner, stall_s=settings.stall_s, announce=pipe.send)
    inbox = _Inbox(pipe)
    while inbox.deliver(engine, wait_s=0.0 if engine.busy else IDLE_S):
        pipe.send(engine.step() if engine.busy else Alive())


def _card(runner: ModelRunner) -> ModelCard:
    config = runner.config
    return ModelCard(
        name=config.name,
        device=str(runner.device),
        dtype=runner.precision.name,
        dtype_reason=runner.precision.reason,
        parameters=runner.parameters,
        config=config,
        context_tokens=runner.context_tokens,
        slots=runner.slots,
        weights_fingerprint=runner.fingerprint,
    )


class _Inbox:
    """Empties the pipe in a thread, so that a sender never waits for a long step."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._messages: queue.SimpleQueue[ToWorker] = queue.SimpleQueue()
        threading.Thread(target=self._receive, name="inbox", daemon=True).start()

    def _receive(self) -> None:
        try:
            while True:
                self._messages.put(self._pipe.recv())
        except (EOFError, OSError):  # the API process is gone
            self._messages.put(Stop())

    def deliver(self, engine: Engine, wait_s: float) -> bool:
        """Hand all messages to the engine; False when it is time to stop."""
        try:
            message = self._messages.get(timeout=wait_s) if wait_s else self._messages.get_nowait()
            while True:
                match message:
                    case Submit():
                        engine.submit(message)
                    case Prefetch(image):
                        engine.prefetch(image)
                    case Forget(image_sha256):
                        engine.forget(image_sha256)
                    case Cancel(ids):
                        engine.cancel(ids)
                    case Stop():
                        return False
                message = self._messages.get_nowait()
        except queue.Empty:
            return True


class WorkerProcess:
    """A running worker, seen from the API process.

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
        context = multiprocessing.get_context("spawn")
        self._pipe, child_end = context.Pipe()
        self._process = context.Process(
            target=run, args=(settings, device, child_end), name=f"pheye-{device}", daemon=True
        )
        self._process.start()
        child_end.close()  # or the end of the child would not end the pipe
        self._outbox: queue.SimpleQueue[ToWorker | None] = queue.SimpleQueue()
        self._start_threads()

    def _start_threads(self) -> None:
        try:
            for target in (self._send, self._receive):  # in this order: once it receives, it tells of its end itself
                threading.Thread(target=target, daemon=True).start()
        except RuntimeError:  # there is no thread left
            self._outbox.put(None)
            self.kill()
            raise

    @property
    def pid(self) -> int | None:
        """The child's process id."""
        return self._process.pid

    def send(self, message: ToWorker) -> None:
        """Queue a message; what a dead worker does not receive, its successor will be told."""
        self._outbox.put(message)

    def kill(self) -> None:
        """End it now; `on_exit` follows."""
        self._process.kill()

    async def stop(self) -> None:
        """Ask it to end, and insist."""
        self.send(Stop())
        await asyncio.to_thread(self._process.join, STOP_S)
        self.kill()
        await asyncio.to_thread(self._process.join)

    def _send(self) -> None:
        try:
            while (message := self._outbox.get()) is not None:
                self._pipe.send(message)
        except OSError:
            logger.debug("worker %s is gone; messages to it are dropped", self.pid)

    def _receive(self) -> None:
        try:
            while True:
                self._tell(self._on_message, self._pipe.recv())
        except (EOFError, OSError):
            self._process.join(STOP_S)  # its exit code is worth a moment; without its pipe it is worth nothing
            self._process.kill()
            self._process.join()
            self._outbox.put(None)
            self._tell(self._on_exit, self._process.exitcode)

    def _tell(self, callback: Callable[..., None], value: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, value)
        except RuntimeError:
            logger.debug("the event loop is closed; nobody waits for worker %s", self.pid)
