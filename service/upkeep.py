"""Upkeep: work beside the requests that never ends, such as a watch of files, and begins anew when it fails.

Nobody awaits a task of upkeep before the process ends, so what one raises would be seen by nobody and its work would
stop for good. Knows nothing of the work. Event loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

FIRST_PAUSE_S = 1.0  # before work that has failed begins anew; twice as long each time that it fails soon
LONGEST_PAUSE_S = 30.0

logger = logging.getLogger("pheye.upkeep")


async def keep_up(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do work until it returns or is cancelled, and begin it anew after each failure, which is logged.

    Args:
        name: of the work, for the log.
        work: called for each beginning.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        begun_s = time.monotonic()
        try:
            return await work()
        except Exception:  # whatever it is: the next attempt may do better, and without one nothing would
            if time.monotonic() - begun_s > LONGEST_PAUSE_S:
                pause_s = FIRST_PAUSE_S
            logger.exception("%s failed; it begins anew in %.0f s", name, pause_s)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
