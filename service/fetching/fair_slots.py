"""Slots that are shared fairly between clients: each may hold as many as are still free.

So one alone has half, two that want all have a third each, and there is always a slot left for the next client
(dynamic thresholds, as for the memory of uploads). Knows not what they are for. Event loop's thread only.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from service.decoding.round_robin import RoundRobinQueue


class FairSlots:
    """A number of slots, and the clients that wait for one."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._held: Counter[str] = Counter()
        self._waiting: RoundRobinQueue[asyncio.Future[None]] = RoundRobinQueue()

    @property
    def held(self) -> int:
        """The slots that are held, all together."""
        return self._held.total()

    @asynccontextmanager
    async def slot(self, client: str) -> AsyncIterator[None]:
        """Hold a slot for a client, once there is one that it may have."""
        await self.take(client)
        try:
            yield
        finally:
            self.give_back(client)

    async def take(self, client: str) -> None:
        """Wait until a client has one more slot."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.push(client, turn)
        self._give()
        try:
            await turn
        except asyncio.CancelledError:
            self._waiting.remove(client, turn)
            if turn.done() and not turn.cancelled():
                self.give_back(client)
            raise

    def give_back(self, client: str) -> None:
        """Take a slot back from a client."""
        self._held[client] -= 1
        if not self._held[client]:
            del self._held[client]
        self._give()

    def _give(self) -> None:
        with suppress(IndexError):  # nobody waits who may
            while True:
                client, turn = self._waiting.pop(self._may_take)
                if not turn.done():  # else: cancelled a moment ago
                    self._held[client] += 1
                    turn.set_result(None)

    def _may_take(self, client: str) -> bool:
        free = self._count - self.held
        return free > 0 and self._held[client] < max(1, free)
