"""The main function of the worker process: it loads a model and drives an engine between two ends of a pipe.

Knows no API process and no devices but its own. Runs in the child process that `service.dispatch.workers.worker_handle`
starts; a thread empties the pipe, the main thread computes.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from service.allocator import collect_from_now_on
from service.logs import configure_logging
from service.messages.from_worker import Heartbeat, LoadFailed, ModelCard, Ready
from service.messages.to_worker import Cancel, Forget, OthersIdle, Prefetch, Stop, Submit, ToWorker
from service.worker.engine import Engine
from service.worker.load import load_runner

if TYPE_CHECKING:
    from model.runtime.runner import ModelRunner
    from service.worker.settings import WorkerSettings

IDLE_S = 1.0  # how often an idle worker says that it is alive

logger = logging.getLogger("pheye.worker")


def run(settings: WorkerSettings, device: str, pipe: Connection) -> None:
    """Run the worker process, from start to end; a failure is a line of its log, and exit code 1."""
    try:
        _run(settings, device, pipe)
    except Exception:
        logger.critical("the worker on %s failed", device, exc_info=True)
        sys.exit(1)


def _run(settings: WorkerSettings, device: str, pipe: Connection) -> None:
    # The API process decides when a worker ends; a Ctrl-C in the terminal reaches the whole group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _configure_logging(settings)
    started = time.monotonic()
    try:
        runner = load_runner(settings, device)
    except (ValueError, OSError) as error:
        pipe.send(LoadFailed(str(error)))
        return
    collect_from_now_on()
    pipe.send(Ready(_card(runner), runner.tokenizer, time.monotonic() - started))
    if settings.compiled_code == "auto":
        runner.prepare_compiled()  # not before: its imports would hold up what readiness waits for
    engine = Engine(
        runner,
        stall_s=settings.stall_s,
        announce=pipe.send,
        use_cores=lambda alone: runner.use_cores(alone=alone),
    )
    engine.others_idle = "," not in settings.devices
    inbox = _Inbox(pipe)
    while inbox.deliver(engine, wait_s=0.0 if engine.busy else IDLE_S):
        pipe.send(engine.step() if engine.busy else Heartbeat())


def _configure_logging(settings: WorkerSettings) -> None:
    """Write log lines like the API process's; those of libraries only where something is wrong."""
    if settings.log_format == "json":
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # they are no lines; read when the hub is imported
    configure_logging(logging.WARNING, settings.log_format)
    logging.getLogger("pheye").setLevel(settings.log_level.upper())


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
        feature_cache_bytes=runner.feature_cache_bytes,
        memory=tuple(map(str, runner.memory)),
        gpu_uuid=runner.gpu_uuid,
        about=runner.about,
    )


class _Inbox:
    """A thread that empties the pipe, so that a sender never waits for a long step."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._messages: queue.SimpleQueue[tuple[float, ToWorker]] = queue.SimpleQueue()  # with when they came
        threading.Thread(target=self._receive, name="inbox", daemon=True).start()

    def _receive(self) -> None:
        try:
            while True:
                message = self._pipe.recv()
                self._messages.put((time.monotonic(), message))
        except (EOFError, OSError):  # the API process is gone
            self._messages.put((time.monotonic(), Stop()))
        except Exception:  # of any kind: a worker that hears nothing any more must end, to be replaced
            logger.exception("a message from the API process cannot be read")
            self._messages.put((time.monotonic(), Stop()))

    def deliver(self, engine: Engine, wait_s: float) -> bool:
        """Hand all messages to the engine; False when it is time to stop."""
        try:
            came_s, message = self._messages.get(timeout=wait_s) if wait_s else self._messages.get_nowait()
            while True:
                match message:
                    case Submit():
                        engine.submit(message, came_s)
                    case Prefetch(image):
                        engine.prefetch(image)
                    case Forget(image_key):
                        engine.forget(image_key)
                    case OthersIdle(idle):
                        engine.others_idle = idle
                    case Cancel(ids):
                        engine.cancel(ids)
                    case Stop():
                        return False
                came_s, message = self._messages.get_nowait()
        except queue.Empty:
            return True
