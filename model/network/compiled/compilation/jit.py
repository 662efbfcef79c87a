"""Compilation by numba: how every kernel is compiled, and where the entry points are kept from one start to the next.

An entry point takes tens of seconds to compile and a tenth of one to load. What is kept is for this processor, this
numba and these sources: numba looks at the entry point's own file alone, so the folder's name is a digest of all
kernels' files.
"""

# mypy: disable-error-code="no-untyped-call, untyped-decorator, misc"
from __future__ import annotations

import functools
import hashlib
import logging
import os
import pkgutil
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numba
from numba import njit
from numba.core.compiler import CompilerBase

logger = logging.getLogger("pheye.kernels")

compiled: Callable[..., Any] = njit(error_model="numpy", nogil=True)
inlined: Callable[..., Any] = njit(error_model="numpy", inline="always")
# Of a function whose sums are added up eight at a time: in another order than they are written, but always in that.
in_any_order: Callable[..., Any] = njit(error_model="numpy", nogil=True, fastmath={"reassoc", "contract", "nsz"})
# Likewise of one that looks for the largest, whose caller has made sure that all are numbers.
of_numbers: Callable[..., Any] = njit(error_model="numpy", nogil=True, fastmath={"reassoc", "nnan", "nsz"})

_KERNELS = "model.network.compiled"
_SOURCES = Path(__file__).parents[1]
_ONE_AT_A_TIME = threading.RLock()  # which also keeps numba's setting of a folder, one for all threads, to one of them


class _Loader(CompilerBase):
    """Compiler that compiles nothing: numba asks one when a function is not where it is kept."""

    def define_pipelines(self) -> list[Any]:
        """Refuse to compile a function that is not kept."""
        raise FileNotFoundError("not kept here, or for another processor or numba")


class EntryPoint:
    """Function that Python calls, compiled for the one kind of arguments it takes, and kept on disk if it can be.

    Args:
        function: the function.
        arguments: their types as numba writes them, such as `(int64[::1], int64)`.
    """

    def __init__(self, function: Callable[..., Any], arguments: str) -> None:
        self._function, self._arguments = function, arguments
        self._ready: Any = None

    @property
    def module(self) -> str:
        """Name of the module that defines it."""
        return self._function.__module__

    def __call__(self, *arguments: Any) -> Any:
        """Call it in this thread alone."""
        return self.ready(*arguments)

    @property
    def ready(self) -> Any:
        """The compiled function, which other threads may call: it compiles, reads and writes nothing any more.

        Whatever goes wrong with the folder (it is full, or a file in it is damaged) costs no more than the time to
        compile. Any thread may ask; one that does while another compiles waits for it.
        """
        if self._ready is None:
            with _ONE_AT_A_TIME:
                if self._ready is None:
                    self._ready = self._compiled()
        return self._ready

    def load(self) -> bool:
        """Load the function if it is kept on disk, and return whether it is `ready`; compiles nothing."""
        with _ONE_AT_A_TIME:
            folder = cache_folder()
            if self._ready is None and folder is not None:
                with suppress(Exception), _kept_in(folder):  # of any kind: files are unpickled
                    kept = njit(error_model="numpy", nogil=True, cache=True, pipeline_class=_Loader)(self._function)
                    kept.compile(self._arguments)
                    kept.disable_compile()
                    self._ready = kept
            return self._ready is not None

    def discard(self) -> None:
        """Remove what is kept of the function on disk, where it may be damaged: numba would stumble over it."""
        folder = cache_folder()
        stem = Path(self._function.__code__.co_filename).stem
        for file in folder.rglob(f"{stem}.{self._function.__qualname__}-*.nb[ic]") if folder is not None else ():
            file.unlink(missing_ok=True)

    def _compiled(self) -> Any:
        folder = cache_folder()
        if folder is None or not any(folder.rglob("*.nbi")):
            _tell_of_compiling()
        compiled = None if folder is None else self._kept(folder)
        if compiled is None:
            compiled = njit(error_model="numpy", nogil=True)(self._function)
            compiled.compile(self._arguments)
        compiled.disable_compile()
        return compiled

    def _kept(self, folder: Path) -> Any:
        """Load the function from a folder, or compile it and keep it there; None if neither can be done."""
        kept = None
        try:
            with _kept_in(folder):
                kept = njit(error_model="numpy", nogil=True, cache=True)(self._function)
                kept.compile(self._arguments)
        except Exception as failure:  # of any kind: files are unpickled
            logger.warning(
                "compiled code cannot be kept in %s (%s: %s); delete it", folder, type(failure).__name__, failure
            )
            return kept if kept is not None and kept.signatures else None  # compiled, and only not saved
        return kept


@contextmanager
def _kept_in(folder: Path) -> Iterator[None]:
    """Have numba keep in a folder what is compiled meanwhile, by whoever holds `_ONE_AT_A_TIME`."""
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder)
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before


_ENTRY_POINTS: list[EntryPoint] = []


@functools.cache
def _tell_of_compiling() -> None:
    """Say why loading takes long, once a process."""
    logger.info("compiling for this processor, which takes half a minute or more; the next start loads them")


def entry(arguments: str) -> Callable[[Callable[..., Any]], EntryPoint]:
    """Return the decorator of a function that Python calls with arguments of these types."""

    def decorate(function: Callable[..., Any]) -> EntryPoint:
        made = EntryPoint(function, arguments)
        _ENTRY_POINTS.append(made)
        return made

    return decorate


def entry_points(modules: Sequence[str] = ()) -> list[EntryPoint]:
    """Import modules, all of the kernels' if none is named, and return the entry points that they define."""
    kernels = [found.name for found in pkgutil.walk_packages([str(_SOURCES)], f"{_KERNELS}.")]
    for module in modules or kernels:
        import_module(module)
    return [each for each in tuple(_ENTRY_POINTS) if each.module in (modules or kernels)]


@functools.cache
def cache_folder() -> Path | None:
    """Return the folder for compiled code, in NUMBA_CACHE_DIR or the user's cache.

    None if it cannot be written, or somebody else could: what lies there is run.
    """
    try:
        base = Path(numba.config.CACHE_DIR or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        base.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = base
        for name in ("pheye", "kernels", _digest()):
            folder /= name
            folder.mkdir(exist_ok=True, mode=0o700)
            if not _is_ours(folder):
                logger.warning("compiled code is not kept: %s is not this user's, or others may write to it", folder)
                return None
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        return None
    return folder if os.access(folder, os.W_OK) else None


def _is_ours(folder: Path) -> bool:
    """Return whether this user owns a folder, and nobody else may write to it; a link is none."""
    found = folder.lstat()
    is_writable_by_others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not is_writable_by_others


def _digest() -> str:
    """Return a digest of these sources, and of the processor as LLVM names it."""
    sources = sorted(_SOURCES.rglob("*.py"))
    host = f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources) + host.encode()).hexdigest()[:16]
