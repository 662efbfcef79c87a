"""Closed and open loops: clients that wait for their answers, or arrivals at times drawn before.

A closed loop asks what throughput so many clients see. An open loop asks how long people wait who come when they come:
its latencies count from the time at which a request was due, so that a server that stalls is charged for all who would
have come meanwhile. Event loop.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar, Protocol, TypeVar

from loadtest.client import Client, TimedResponse, open_http
from loadtest.mix import PlannedRequest
from loadtest.servers import Server

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class TimedRequest:
    """Request of a load, with its response.

    Attributes:
        answers: texts it asked for.
        due_s: when it should have been sent.
        sent_s: when it was.
        reply: what came back.
    """

    answers: int
    due_s: float
    sent_s: float
    reply: TimedResponse


@dataclass(frozen=True, slots=True)
class LoadRun:
    """Results of a load: every request, and how often one was refused and came back."""

    outcomes: Sequence[TimedRequest]
    refusals_obeyed: int


class Loop(Protocol):
    """Protocol of a way to send requests.

    Attributes:
        unit: of its pressure, in words.
    """

    unit: ClassVar[str]

    @property
    def pressure(self) -> float:
        """Number of clients, or of arrivals a second."""

    async def drive(self, server: Server, asks: Sequence[PlannedRequest], *, seed: str, timeout_s: float) -> LoadRun:
        """Send all requests to a server and wait for their responses."""


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """Closed loop: so many clients, each of which sends its next request when the one before is answered.

    Attributes:
        clients: how many.
        patience_s: for how long a refused request comes back; its latency counts from its first try.
    """

    unit: ClassVar[str] = "clients"

    clients: int
    patience_s: float = 60.0

    @property
    def pressure(self) -> float:
        """Number of clients that ask at the same time."""
        return self.clients

    async def drive(self, server: Server, asks: Sequence[PlannedRequest], *, seed: str, timeout_s: float) -> LoadRun:
        """Send all requests; the server's speed decides which client sends which, not the seed."""
        outcomes: list[TimedRequest] = []
        async with AsyncExitStack() as stack:
            # Each has its own connection: of a pool, every request would look through all connections.
            opened = [open_http(server.url, 1, timeout_s, server.key) for _ in range(min(self.clients, len(asks)))]
            clients = [Client(await stack.enter_async_context(http), self.patience_s) for http in opened]
            free = list(clients)

            async def one(ask: PlannedRequest) -> None:
                client, sent_s = free.pop(), time.monotonic()
                outcomes.append(TimedRequest(ask.answers, sent_s, sent_s, await client.ask(ask)))
                free.append(client)

            await share_out(asks, len(clients), one)
        return LoadRun(outcomes, sum(client.refusals for client in clients))


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """Open loop: requests arrive as a Poisson process, whatever becomes of those before; who is refused stays away.

    Attributes:
        rate_per_s: mean arrivals a second.
    """

    unit: ClassVar[str] = "arrivals/s"

    rate_per_s: float

    @property
    def pressure(self) -> float:
        """Number of arrivals a second."""
        return self.rate_per_s

    async def drive(self, server: Server, asks: Sequence[PlannedRequest], *, seed: str, timeout_s: float) -> LoadRun:
        """Send each request when it is due."""
        async with open_http(server.url, None, timeout_s, server.key) as http:
            client = Client(http, patience_s=0.0)
            start_s = time.monotonic()

            async def one(ask: PlannedRequest, after_s: float) -> TimedRequest:
                due_s = start_s + after_s
                await asyncio.sleep(due_s - time.monotonic())
                sent_s = time.monotonic()
                return TimedRequest(ask.answers, due_s, sent_s, await client.ask(ask))

            arrivals = poisson_arrivals_s(self.rate_per_s, len(asks), seed)
            outcomes = await asyncio.gather(*map(one, asks, arrivals))
        return LoadRun(outcomes, client.refusals)


async def share_out(items: Iterable[Item], clients: int, work: Callable[[Item], Awaitable[None]]) -> None:
    """Share out the items among so many clients at a time, each of which takes the next one left."""
    todo = iter(items)

    async def client() -> None:
        for item in todo:
            await work(item)

    await asyncio.gather(*(client() for _ in range(clients)))


def poisson_arrivals_s(rate_per_s: float, count: int, seed: str) -> list[float]:
    """Draw from the seed the seconds from the start at which requests arrive, so many a second on average."""
    chance = random.Random(f"{seed} arrivals")  # noqa: S311 - no secrets here
    return list(accumulate(chance.expovariate(rate_per_s) for _ in range(count)))
