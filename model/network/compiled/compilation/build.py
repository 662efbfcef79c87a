"""Compilation of all entry points into the folder where they are kept, as a process that is in nobody's way.

`python -m model.network.compiled.compilation.build`. The background thread of a server runs it (`background`), a person
or the build of an image may. What is there already is only loaded. One thread, of a low priority.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

NICENESS = 10
_PR_SET_PDEATHSIG = 1
_LOOK_S = 1.0  # how often to look whether the parent is still there, where the system does not tell of its end


def main() -> None:
    """Compile what the command line asks for.

    Raises:
        SystemExit: something cannot be compiled, or not be kept.
    """
    parser = argparse.ArgumentParser(description="compile decode steps for this processor, and keep them on disk")
    parser.add_argument("modules", nargs="*", help="whose entry points; those of all modules by default")
    parser.add_argument("--parent", type=int, help="process with which this one ends")
    parser.add_argument("--niceness", type=int, default=NICENESS, help="how far this process stands back for others")
    asked = parser.parse_args()
    os.nice(asked.niceness)
    _go_first_when_memory_is_short()
    if asked.parent is not None:
        _end_with(asked.parent)
    _build(asked.modules)


def _build(modules: list[str]) -> None:
    from model.network.compiled.compilation import jit  # not before this process is as modest as it wants to be

    if jit.cache_folder() is None:
        sys.exit("there is no folder to keep compiled code in")
    for entry in jit.entry_points(modules):
        if not entry.load():
            entry.discard()
            _ = entry.ready  # compiles it, and keeps it


def _end_with(parent: int) -> None:
    """End this process when its parent ends, however that happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have ended before, and other systems have no such call.
    threading.Thread(target=_watch, args=(parent,), name="parent-watch", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(1)


def _go_first_when_memory_is_short() -> None:
    """Have Linux end this process, and not the server, where both do not fit into memory."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


if __name__ == "__main__":
    main()
