"""Threads for work that takes milliseconds, such as counting tokens, shared fairly between clients.

One client alone leaves a thread to the next, however much it asks for. A thread cannot be stopped, so work counts
against its client until it has really ended. Event loop; the threads do the work and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

from service.fetching.fair_slots import FairSlots

T = TypeVar("T")


class FairThreads:
    """A few threads, and the clients that wait for one.

    Args:
        count: threads; with two or more, no client holds all of them.
        name: with which the threads' names begin.
    """

    def __init__(self, count: int, name: str) -> None:
        self._executor = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._slots = FairSlots(count)

    async def run(self, client: str, work: Callable[[], T]) -> T:
        """Return the result of a piece of work, or raise what it raises; it never begins if the caller gives up first.

        Raises:
            RuntimeError: the threads have been shut down.
        """
        await self._slots.take(client)
        try:
            running = self._executor.submit(work)
        except RuntimeError:
            self._slots.give_back(client)
            raise
        running.add_done_callback(partial(self._ended, asyncio.get_running_loop(), client))
        return await asyncio.wrap_future(running)

    def shutdown(self) -> None:
        """Begin nothing more; waits for nobody."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _ended(self, loop: asyncio.AbstractEventLoop, client: str, _: Future[T]) -> None:
        with suppress(RuntimeError):  # the event loop has ended
            loop.call_soon_threadsafe(self._slots.give_back, client)
