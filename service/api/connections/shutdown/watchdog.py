"""The last resort of shutdown: a thread that ends the process when its orderly end hangs.

A thread of the executor that never returns, a worker that does not die, a blocked event loop: none of them may keep the
process. Any thread.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
from contextlib import suppress

LOG_S = 0.5  # for the last line: whoever reads the log may hang too

logger = logging.getLogger("pheye.shutdown")


def end_process_after(seconds: float, code: int) -> None:
    """End the process and its children after some seconds, unless it has ended by then; the earliest call wins."""
    timer = threading.Timer(seconds, _end_now, [seconds, code])
    timer.daemon = True
    try:
        timer.start()
    except RuntimeError as error:  # the orderly end may still come, and must not fail for this
        logger.error("nothing ends the process if it hangs: %s", error)


def _end_now(seconds: float, code: int) -> None:
    for child in multiprocessing.active_children():
        child.kill()
    last_line = threading.Thread(
        target=logger.error, args=("not at an end after %.0f s: ended hard", seconds), daemon=True
    )
    with suppress(RuntimeError):  # no thread left, and so no last line
        last_line.start()
        last_line.join(LOG_S)
    os._exit(code)
