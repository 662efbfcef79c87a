"""End of a command: an interruption, or an output that takes no more, is told in one line and by the exit code.

Knows no load and no server. Main thread only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress

EXIT_LOST, EXIT_INTERRUPTED = 1, 130


def ended(main: Callable[[], int]) -> int:
    """Run a command, and return its exit code: 130 after Ctrl-C, 1 if what it prints cannot be written."""
    try:
        code = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.stderr.write("loadtest: interrupted\n")
        return EXIT_INTERRUPTED
    except OSError as error:
        return lost(error)
    return code


def lost(error: OSError) -> int:
    """Tell that results cannot be written, and return the exit code; nothing if their reader has seen enough."""
    if not isinstance(error, BrokenPipeError):
        sys.stderr.write(f"loadtest: {error}\n")
    try:
        sys.stdout.flush()
    except OSError:
        _forget_output()
    return EXIT_LOST


def _forget_output() -> None:
    """Let what is not written yet go nowhere, or Python would try once more at its end."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
