"""Compilation by numba: how every kernel is compiled, and where the entry points are kept from one start to the next.

An entry point takes tens of seconds to compile and a tenth of one to load. What is kept is for this processor, this
numba and these sources: numba looks at the entry point's own file alone, so the folder's name is a digest of all files
beside it.
"""

# mypy: disable-error-code="no-untyped-call, untyped-decorator"
from __future__ import annotations

import functools
import hashlib
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numba
from numba import njit

logger = logging.getLogger("pheye.kernels")

compiled: Callable[..., Any] = njit(error_model="numpy", nogil=True)
inlined: Callable[..., Any] = njit(error_model="numpy", inline="always")
# Of a function whose sums are added up eight at a time: in another order than they are written, but always in that.
in_any_order: Callable[..., Any] = njit(error_model="numpy", nogil=True, fastmath={"reassoc", "contract", "nsz"})
# Likewise of one that looks for the largest, whose caller has made sure that all are numbers.
of_numbers: Callable[..., Any] = njit(error_model="numpy", nogil=True, fastmath={"reassoc", "nnan", "nsz"})


class EntryPoint:
    """Function that Python calls, compiled for the one kind of arguments it takes, and kept on disk if it can be.

    Args:
        function: the function.
        arguments: their types as numba writes them, such as `(int64[::1], int64)`.
    """

    def __init__(self, function: Callable[..., Any], arguments: str) -> None:
        self._function, self._arguments = function, arguments

    def __call__(self, *arguments: Any) -> Any:
        """Call it in this thread alone."""
        return self.ready(*arguments)

    @functools.cached_property
    def ready(self) -> Any:
        """The compiled function, which other threads may call: it compiles, reads and writes nothing any more.

        Whatever goes wrong with the folder (it is full, or a file in it is damaged) costs no more than the time to
        compile.
        """
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
        before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder)
        kept = None
        try:
            kept = njit(error_model="numpy", nogil=True, cache=True)(self._function)
            kept.compile(self._arguments)
        except Exception as failure:  # of any kind: files are unpickled
            logger.warning(
                "compiled code cannot be kept in %s (%s: %s); delete it", folder, type(failure).__name__, failure
            )
            return kept if kept is not None and kept.signatures else None  # compiled, and only not saved
        finally:
            numba.config.CACHE_DIR = before
        return kept


@functools.cache
def _tell_of_compiling() -> None:
    """Say why loading takes long, once a process."""
    logger.info(
        "compiling decode steps for this processor, which takes half a minute or more; the next start loads them"
    )


def entry(arguments: str) -> Callable[[Callable[..., Any]], EntryPoint]:
    """Return the decorator of a function that Python calls with arguments of these types."""
    return lambda function: EntryPoint(function, arguments)


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
    sources = sorted(Path(__file__).parent.glob("*.py"))
    host = f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources) + host.encode()).hexdigest()[:16]
