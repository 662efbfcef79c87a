"""Ctrl-C and SIGTERM as a wish to stop: the first ends a run with a checkpoint, the second at once.

Knows no run. Main thread only, as Python's signal handlers are.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

_NUMBERS = (signal.SIGINT, signal.SIGTERM)
_WORD = b"\npheye: stopping soon, with a checkpoint; once more to stop at once\n"


class StopSignals:
    """Handlers of Ctrl-C and SIGTERM while it is open.

    Args:
        stop: called at the first signal.

    Attributes:
        received: number of the first signal; None before.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._before: dict[int, Any] = {}
        self.received: int | None = None

    @property
    def exit_code(self) -> int:
        """Exit code that shells give a process that ended by the signal; 0 without one."""
        return 0 if self.received is None else 128 + self.received

    @property
    def name(self) -> str:
        """Name of the signal; empty without one."""
        return "" if self.received is None else signal.Signals(self.received).name

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._handle) for number in _NUMBERS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number
        os.write(2, _WORD)
        self._stop()
