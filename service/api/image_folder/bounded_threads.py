"""Threads for file operations that may hang, with a bound on their number and on how long anybody waits for them.

A thread in the middle of a system call cannot be stopped, so an operation counts against its client until it has really
ended. Event loop; the threads do the operations and nothing else.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from service.fetching.fair_slots import FairSlots

T = TypeVar("T")


class BoundedThreads:
    """At most so many operations at a time, shared fairly between clients.

    Args:
        most: operations at a time.
        limit_s: what a caller waits at most, for a thread and for its result.
    """

    def __init__(self, most: int, limit_s: float) -> None:
        self._most = most
        self._limit_s = limit_s
        self._slots = FairSlots(most)
        self._overdue = 0  # operations that nobody waits for any more

    async def run(self, client: str, work: Callable[[], T], *, limited: bool = True) -> T:
        """Return the result of an operation, or raise what it raises.

        Raises:
            TimeoutError: there is none in time; at once, if every thread hangs.
        """
        if self._overdue >= self._most:
            raise TimeoutError("no operation ends")
        async with asyncio.timeout(self._limit_s if limited else None):
            await self._slots.take(client)
            return await self._started(client, work)

    async def _started(self, client: str, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()
        was_left = has_ended = False

        def settle(result: list[T], error: BaseException | None) -> None:
            nonlocal has_ended
            has_ended = True
            self._slots.give_back(client)
            if was_left:
                self._overdue -= 1
            elif outcome.done():
                return
            elif error is not None:
                outcome.set_exception(error)
            else:
                outcome.set_result(result[0])

        def run() -> None:
            result: list[T] = []
            error: BaseException | None = None
            try:
                result.append(work())
            except Exception as caught:
                error = caught
            with suppress(RuntimeError):  # the event loop has ended
                loop.call_soon_threadsafe(settle, result, error)

        try:
            # Not of an executor: the interpreter would wait at its end for an operation that hangs.
            threading.Thread(target=run, name="pheye-image-folder", daemon=True).start()
        except RuntimeError as error:
            self._slots.give_back(client)
            raise OSError(str(error)) from None
        try:
            return await outcome
        except asyncio.CancelledError:
            if not has_ended:  # it may have, between the cancelling and this
                was_left, self._overdue = True, self._overdue + 1
            raise
