"""The console script `pheye`: it can be ended at any moment, even before the imports are done.

Knows no commands (`service.cli.main` does, and takes its time to import). Main thread only, first thing in the process.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Run the console script."""
    _read_names_as_utf8()
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not where a shell has it ignored
    if interruptible:
        signal.signal(signal.SIGINT, _end)
    signal.signal(signal.SIGTERM, _end)
    _make_streams_usable()
    if sys.argv[1:2] == ["serve"] and not {"-h", "--help"} & set(sys.argv):
        _begin_to_serve()
        from service.cli.serve import main as run
    else:
        from service.cli.main import main as run

    if interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run()
    except KeyboardInterrupt:  # before the command itself was reached, or when it was over
        sys.exit(128 + signal.SIGINT)


def _read_names_as_utf8() -> None:
    """Begin anew in Python's UTF-8 mode where names of files and typed words were read as ASCII.

    With LC_ALL=C Python does so by itself, unless PYTHONUTF8=0 stops it: then no file that a UTF-8 text names is found,
    and no question beyond ASCII is text. Other encodings stay as they are.
    """
    if sys.getfilesystemencoding() == "ascii" and os.environ.get("PYTHONUTF8") != "1" and sys.executable:
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - the same program


def _begin_to_serve() -> None:
    """Let the first worker begin to import, on another core than this process, which has as much to import.

    What is imported stays, so there is nothing to collect until the server runs, which turns collection on again.
    """
    from service.worker import early

    early.begin()
    gc.disable()


def _make_streams_usable() -> None:
    """Write what a stream's encoding lacks with backslashes, and what goes to a closed stream nowhere.

    Answers and file names may hold any character, and LANG may be C or Latin-1. A closed input is empty.
    """
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - until the process ends
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - until the process ends
        else:
            stream.reconfigure(errors="backslashreplace")


def _end(number: int, _: FrameType | None) -> None:
    """End the process as the signal ends one that has no handler; the server later sets its own, which drains.

    The kernel spares process 1 of a container, and whoever was started with the signal ignored, unless there is a
    handler. SIGINT comes here during the imports only, where Python would show a traceback.
    """
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    os._exit(128 + number)  # only process 1 is still here, which ignores the signal; nothing needs an orderly end


if __name__ == "__main__":
    main()
