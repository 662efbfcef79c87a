"""A worker process that imports what a model needs before anybody knows which model: torch alone takes over a second.

The console script begins one before its own imports, and the first worker is made of it. Imports next to nothing here.
Main thread only.
"""

from __future__ import annotations

import gc
import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from service.worker.settings import WorkerSettings


class EarlyProcess(NamedTuple):
    """A process that imports, and then waits at the other end of `pipe` for a worker's function and its arguments."""

    process: BaseProcess
    pipe: Connection


_begun: list[EarlyProcess] = []


def begin() -> None:
    """Begin a process for the first worker; without room for one, that worker will be started as all others are."""
    with suppress(OSError):
        context = multiprocessing.get_context("spawn")
        pipe, child_end = context.Pipe()
        process = context.Process(target=_import_and_wait, args=(child_end,), name="pheye-worker", daemon=True)
        with _ignoring_interrupts():
            process.start()
        child_end.close()  # else the pipe would stay open when the child ends
        _begun.append(EarlyProcess(process, pipe))


@contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Start a process that ignores SIGINT from its first instruction: Ctrl-C in a terminal reaches the whole group."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def take() -> EarlyProcess | None:
    """Return the process that was begun, once; None if there is none."""
    return _begun.pop() if _begun else None


def run(settings: WorkerSettings, device: str, pipe: Connection) -> None:
    """Run the worker process; whoever starts it refers to this, and need not import what a worker does."""
    from service.worker.main import run as run_here

    run_here(settings, device, pipe)


def _import_and_wait(pipe: Connection) -> None:
    """Import, then call the function that comes through the pipe with the arguments beside it and the pipe."""
    gc.disable()  # imports leave nothing to collect
    with suppress(ImportError):  # the worker says what is wrong
        import model.runtime.load  # noqa: F401
        import service.worker.main
        import service.worker.settings  # noqa: F401
    gc.freeze()
    gc.enable()  # before a model is loaded, and code compiled for it
    with suppress(EOFError):  # whoever began this process has ended
        called, *arguments = pipe.recv()
        called(*arguments, pipe)
