"""The handle of a worker process: whatever comes or goes wrong in its pipe, the worker is ended and reported."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from multiprocessing.connection import Connection
from typing import Any
from unittest.mock import Mock

import pytest

from service.configuration.settings import Settings
from service.dispatch.workers import worker_handle
from service.dispatch.workers.worker_handle import WorkerProcess
from service.worker.main import _Inbox

GONE = b"cservice.messages.from_worker\nOfANewerVersion\n."  # the pickle of a class that there is not
PATIENCE_S = 30.0


class Child:
    """A process that lives until it is killed, and closes its end of the pipe then."""

    pid = 1

    def __init__(self, pipe: Connection) -> None:
        self.exitcode: int | None = None
        self._pipe, self._ended = pipe, threading.Event()

    def kill(self) -> None:
        if self.exitcode is None:
            self.exitcode = -9
            self._pipe.close()
            self._ended.set()

    def join(self, timeout: float | None = None) -> None:
        self._ended.wait(PATIENCE_S if timeout is None else timeout)


async def exit_code(monkeypatch: pytest.MonkeyPatch, received: bytes | None, sent: Any) -> int | None:
    """Return the code with which the end of a worker is reported after one thing was received or is to be sent."""
    ours, theirs = multiprocessing.Pipe()
    monkeypatch.setattr(worker_handle, "_begun_early", lambda settings, device: (Child(theirs), ours))
    ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
    worker = WorkerProcess(Settings(), "cpu", lambda message: None, ended.set_result)
    if received is not None:
        theirs.send_bytes(received)
    else:
        worker.send(sent)
    return await asyncio.wait_for(ended, PATIENCE_S)


@pytest.mark.parametrize("received", [GONE, b"no pickle"], ids=["a class that is not there", "bytes"])
def test_a_worker_that_sends_what_cannot_be_read_is_ended_and_reported(
    monkeypatch: pytest.MonkeyPatch, received: bytes
) -> None:
    assert asyncio.run(exit_code(monkeypatch, received, None)) == -9


def test_a_worker_that_cannot_be_sent_a_message_is_ended_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asyncio.run(exit_code(monkeypatch, None, lambda: None)) == -9


@pytest.mark.parametrize("received", [GONE, b"no pickle"], ids=["a class that is not there", "bytes"])
def test_a_worker_that_cannot_read_a_message_ends(received: bytes) -> None:
    ours, theirs = multiprocessing.Pipe()
    inbox = _Inbox(theirs)
    ours.send_bytes(received)
    assert not inbox.deliver(Mock(), wait_s=PATIENCE_S)
