"""Compiled code that is got ready in the background, while torch computes in its place.

A thread loads what is kept on disk. What is not is compiled first, by a process of a low priority (`build`), of
which there is one for each folder at a time, whoever else waits for it. Whatever fails leaves the process to torch.
Importing this imports no numba, which the thread does. Any thread may ask whether it is ready.

Two threads cannot wait for each other's imports here: modules of this repository import each other in no circle, and
numba's, which do, come after `numba` itself, which the first thread has to itself until it is whole.
"""

from __future__ import annotations

import fcntl
import gc
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from model.machine.free_memory import available_mb
from model.network.compiled.compilation import available, build
from model.network.compiled.compilation.build import NICENESS

if TYPE_CHECKING:
    from model.network.compiled.compilation.jit import EntryPoint

logger = logging.getLogger("pheye.kernels")

_LOCK = "being-built"  # file in the folder of compiled code
_FAILED = "failed"  # likewise, whose time says when
_RETRY_S = 1800
_LEAST_MB = 1000  # of free memory, of which the process takes half
_TAIL = 2000  # characters of what a failed process has said
_TURN_S = 0.0005

# A fork waits until nothing is half imported and numba holds no lock: the child has no thread that would go on.
_FORKS_WAIT = threading.RLock()
os.register_at_fork(before=_FORKS_WAIT.acquire, after_in_parent=_FORKS_WAIT.release, after_in_child=_FORKS_WAIT.release)


class CompiledCode:
    """Entry points that become ready in the background, or never.

    Args:
        modules: whose; all of `model.network.compiled`'s if none is named.

    Attributes:
        ready: whether all of them are loaded; once true, it stays so, and calling them compiles nothing.
    """

    def __init__(self, modules: Sequence[str] = ()) -> None:
        self.ready = False
        self._modules = tuple(modules)
        self._starting = threading.Lock()
        self._process: int | None = None  # that has started: a forked one has no thread
        self._niceness = NICENESS
        self._ended = threading.Event()

    def start(self, *, niceness: int = NICENESS) -> None:
        """Begin, once in a process; returns at once. Without numba nothing happens, now or later.

        For a second or two the thread imports and loads, which slows what other threads run in Python, and now and then
        stops them for a tenth of a second: start it when they have done what is urgent.

        Args:
            niceness: how far a process that compiles stands back for others; 0 where somebody waits for it.
        """
        with self._starting:
            if self.ready or self._process == os.getpid():
                return
            self._process, self._ended, self._niceness = os.getpid(), threading.Event(), niceness
        if not available.installed():
            self._ended.set()
            return
        try:
            threading.Thread(target=self._run, name="compiled-code", daemon=True).start()
        except RuntimeError as failure:  # no more threads
            logger.warning("torch computes all: %s", failure)
            self._ended.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is known whether the code will be ready, and return whether it is.

        Returns at once where this process has not started it. For benchmarks and tests.

        Args:
            timeout: seconds to wait at most; None to wait as long as it takes.
        """
        if self._process == os.getpid():
            self._ended.wait(timeout)
        return self.ready

    def _run(self) -> None:
        begun = time.monotonic()
        try:
            if self._prepare():
                if gc.get_freeze_count():  # a worker's: its collector is to pass over what has just been loaded, too
                    gc.freeze()
                self.ready = True
                logger.info("compiled code is in use from now on, after %.1f s", time.monotonic() - begun)
        except Exception as failure:  # of any kind: torch goes on whatever it is
            logger.warning("torch computes all (%s: %s)", type(failure).__name__, failure)
        finally:
            self._ended.set()

    def _prepare(self) -> bool:
        """Load all entry points, compiled first where they are not; returns whether they are loaded."""
        try:
            with _among_others():
                from model.network.compiled.compilation import jit

                entries = jit.entry_points(self._modules)
        except (ImportError, OSError):  # such as a numpy that is too new for numba
            logger.debug("numba is installed but cannot be used", exc_info=True)
            return False
        folder = jit.cache_folder()
        if folder is None:
            logger.info("torch computes all: there is no folder to keep compiled code in")
            return False
        if _load(entries):
            return True
        with _alone(folder) as lock:
            if _load(entries):  # by now: somebody else has compiled
                return True
            if (hindrance := _hindrance(folder)) is not None:
                logger.info("torch computes all: %s", hindrance)
                return False
            logger.info("compiling for this processor in the background; until then torch computes all")
            done = _compile(self._modules, self._niceness, lock)
            if not done.returncode and _load(entries):
                return True
            with suppress(OSError):
                (folder / _FAILED).touch()
        how = _end_of(done.returncode) if done.returncode else f"kept nothing in {folder} that can be loaded"
        logger.warning("torch computes all: the process that compiles %s\n%s", how, done.stderr[-_TAIL:].rstrip())
        return False


def _hindrance(folder: Path) -> str | None:
    """Return why not to compile now: it has just failed, or would take memory that others need; None to do so."""
    with suppress(OSError):
        if time.time() - (folder / _FAILED).stat().st_mtime < _RETRY_S:
            return f"compiling them has just failed; it is tried again in {_RETRY_S // 60} minutes, at a start"
    free_mb = available_mb()
    if free_mb is not None and free_mb < _LEAST_MB:
        return f"compiling takes half a gigabyte, and {free_mb:.0f} MB are free"
    return None


def _load(entries: Sequence[EntryPoint]) -> bool:
    with _among_others():
        return all(entry.load() for entry in entries)


@contextmanager
def _among_others() -> Iterator[None]:
    """Import and load while others compute: with turns at the interpreter so short that their steps go on.

    Each operation of torch gives its turn away, and then waits for another: steps of 400 operations took 14 times as
    long meanwhile, and take 2 to 4 times as long by this.
    """
    with _FORKS_WAIT:
        before = sys.getswitchinterval()
        sys.setswitchinterval(min(before, _TURN_S))
        try:
            yield
        finally:
            sys.setswitchinterval(before)


@contextmanager
def _alone(folder: Path) -> Iterator[int]:
    """Wait until no other process compiles into a folder; gives the lock, to be held by heirs, too.

    On a file system that has no locks two may compile at once, which costs time alone: each file appears whole.
    """
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_UN)  # else a process forked meanwhile would hold it on
        os.close(lock)


def _compile(modules: Sequence[str], niceness: int, lock: int) -> subprocess.CompletedProcess[str]:
    """Run the process that compiles, which shares the lock, to its end."""
    options = "--parent", str(os.getpid()), "--niceness", str(niceness)
    return subprocess.run(  # noqa: S603
        # Not from the current folder, which may have a `model` of its own, but from where this process imports.
        [sys.executable, "-P", "-m", build.__name__, *options, *modules],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=(lock,),
        # A Ctrl-C is for the server, which ends this one. No new session: Linux may weigh priorities within one only.
        process_group=0,
        text=True,
        errors="replace",
        check=False,
    )


def _end_of(code: int) -> str:
    return f"ended with exit code {code}" if code > 0 else f"was ended by signal {-code}"


CODE = CompiledCode()
"""What a process shares: the entry points of `model.network.compiled`."""
