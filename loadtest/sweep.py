"""Sweep of many loads over several servers, in turns: the same requests to one server after the other, again and again.

A machine that slows down for a while then slows all of them. Event loop.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from loadtest.client import OK
from loadtest.loops import ClosedLoop, Loop
from loadtest.mix import Mix, PlannedRequest, asks, warm_up_asks
from loadtest.servers import Server, ServerError
from loadtest.summary import Summary, summarise

WARM_UP_CLIENTS = 4


@dataclass(frozen=True, slots=True)
class Load:
    """Requests that are sent to a server in one go.

    Attributes:
        mix: what is asked.
        loop: when.
        requests: how many.
        warm_up: requests before the clock starts, on top of one for each image that is repeated.
        timeout_s: for which a server may be silent.
    """

    mix: Mix
    loop: Loop
    requests: int
    warm_up: int = 4
    timeout_s: float = 300.0


@dataclass(frozen=True, slots=True)
class LoadMeasurement:
    """Measurement of one load on one server."""

    server: str
    repeat: int
    load: Load
    summary: Summary


@dataclass(frozen=True, slots=True)
class PreparedLoad:
    """Load whose requests are drawn."""

    load: Load
    seed: str
    warm_up: Sequence[PlannedRequest]
    asks: Sequence[PlannedRequest]

    async def run(self, server: Server) -> Summary:
        """Warm the server up, send the load, and summarise.

        Raises:
            ServerError: a warm-up request was not answered.
        """
        load = self.load
        gently = ClosedLoop(WARM_UP_CLIENTS)
        warm = await gently.drive(server, self.warm_up, seed=self.seed, timeout_s=load.timeout_s)
        lost = [each.reply for each in warm.outcomes if each.reply.status != OK]
        if lost:
            raise ServerError(f"{server.name}: a warm-up request was not answered: {lost[0].status} {lost[0].detail}")
        before, own_before_s = await server.seconds(), time.process_time()
        drive = await load.loop.drive(server, self.asks, seed=self.seed, timeout_s=load.timeout_s)
        own_s, after = time.process_time() - own_before_s, await server.seconds()
        spent = {name: after[name] - before[name] for name in before if name in after}
        return summarise(drive, spent | {"client": own_s})


def prepare(load: Load, seed: str) -> PreparedLoad:
    """Draw a load's requests."""
    return PreparedLoad(load, seed, warm_up_asks(load.mix, seed, load.warm_up), asks(load.mix, seed, load.requests))


async def measure(
    servers: Sequence[Server], loads: Sequence[Load], repeats: int, seed: int
) -> AsyncIterator[LoadMeasurement]:
    """Measure each load on each server, so many times; new images are new each time.

    Raises:
        ServerError: a server was lost; what was measured until then stands.
    """
    for repeat in range(repeats):
        for number, load in enumerate(loads):
            prepared = prepare(load, f"{seed} {repeat} {number}")
            for server in servers:
                yield LoadMeasurement(server.name, repeat, load, await prepared.run(server))
