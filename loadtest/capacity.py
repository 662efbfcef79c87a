"""Capacity of a server: the highest rate of arrivals within a latency target.

A rate just above what a server can do shows only after a while, as its queue grows; the more requests a load has, the
closer the answer. Event loop.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from itertools import count
from typing import Literal

from loadtest.loops import OpenLoop
from loadtest.servers import Server
from loadtest.summary import Summary
from loadtest.sweep import Load, LoadMeasurement, prepare

LEAST_PER_S, MOST_PER_S = 0.01, 10_000.0


@dataclass(frozen=True, slots=True)
class LatencyTarget:
    """Latency target: so many percent of the requests are answered within so many seconds, and all are answered."""

    percentile: Literal["p50", "p90", "p95", "p99"]
    seconds: float

    def kept(self, summary: Summary) -> bool:
        """Return whether a load kept the target."""
        if summary.latency_s is None or summary.answered < summary.requests:
            return False
        seconds: float = getattr(summary.latency_s, self.percentile)
        return seconds <= self.seconds


async def highest_rate(keeps: Callable[[float], Awaitable[bool]], start_per_s: float, precision: float) -> float | None:
    """Search by bisection between a rate that keeps the target and one that does not, found by doubling and halving.

    Args:
        keeps: tries a rate.
        start_per_s: the first rate to try.
        precision: how far apart, relative to the lower, the two may be in the end.

    Returns:
        The highest rate that was seen to keep it; None if not even 0.01 a second does.
    """
    low, high, rate = 0.0, math.inf, start_per_s
    while LEAST_PER_S <= rate <= MOST_PER_S and high > low * (1 + precision):
        if await keeps(rate):
            low = rate
        else:
            high = rate
        rate = low * 2 if high == math.inf else high / 2 if low == 0.0 else math.sqrt(low * high)
    return low or None


async def find_capacity(
    server: Server,
    load: Load,
    target: LatencyTarget,
    *,
    precision: float,
    seed: int,
    note: Callable[[LoadMeasurement], None],
) -> float | None:
    """Find the highest rate of such a load that a server keeps the target at, in arrivals a second.

    Args:
        server: whose.
        load: an open loop at the first rate to try.
        target: the promise.
        precision: as `highest_rate`.
        seed: of what is asked and when.
        note: is told of each rate that was tried.

    Raises:
        ServerError: the server was lost.
    """
    tries = count()

    async def keeps(rate_per_s: float) -> bool:
        number = next(tries)
        tried = replace(load, loop=OpenLoop(rate_per_s))
        summary = await prepare(tried, f"{seed} {number}").run(server)
        note(LoadMeasurement(server.name, number, tried, summary))
        return target.kept(summary)

    return await highest_rate(keeps, load.loop.pressure, precision)
