"""A log that hostile peers cannot fill: what they can provoke is written once in a while, with a count."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

EVERY_S = 10.0
# Loggers of libraries that write a line, or a traceback, for each connection or request that is not as it should be.
NOISY = ("asyncio", "uvicorn.error")


class Rarely(logging.Filter):
    """A filter that passes each message once in `EVERY_S`, and counts the others."""

    def __init__(self) -> None:
        super().__init__()
        self._passed_s: dict[str, float] = {}
        self._held_back: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a record is written; the count of those held back is added to it."""
        key = str(record.msg).partition("\n")[0][:100]
        now_s = time.monotonic()
        if now_s - self._passed_s.get(key, -EVERY_S) < EVERY_S:
            self._held_back[key] = self._held_back.get(key, 0) + 1
            return False
        if len(self._passed_s) > 100:  # kinds of messages are few; this only bounds the memory
            self._passed_s.clear()
        self._passed_s[key] = now_s
        held_back = self._held_back.pop(key, 0)
        if held_back:
            record.msg = f"{record.getMessage()} ({held_back} more like it in the last seconds)"
            record.args = ()
        return True


def quieten(names: Iterable[str] = NOISY) -> None:
    """Put the filter in front of the noisy loggers."""
    for name in names:
        logger = logging.getLogger(name)
        if not any(isinstance(each, Rarely) for each in logger.filters):
            logger.addFilter(Rarely())
