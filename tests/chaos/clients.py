"""Scenarios of clients that want more than their share, and of servers that are restarted under all of them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.chaos.scenario import Scale, Scenario, demand
from tests.chaos.victim import victim
from tests.support.flood import GREEDY, OTHER, flood
from tests.support.proxies import rolling_restarts

SECONDS = 120.0  # of one request a second, without and with the flood
MOST_SLOWER = 3.0
RESTARTS = 3


def fairness(scale: Scale) -> str:
    """Let one key flood the service, and watch another key that asks once a second."""
    kinds = ((64, False), (80, False), (64, True), (80, True))
    return "; ".join(_flooded(in_flight, scale.seconds(SECONDS), distinct=distinct) for in_flight, distinct in kinds)


def _flooded(in_flight: int, seconds: float, *, distinct: bool) -> str:
    with victim(api_keys=f"{GREEDY},{OTHER}") as service:
        seen = asyncio.run(flood(service.url, in_flight=in_flight, seconds=seconds, distinct=distinct))
    kind = f"{in_flight} captions in flight, {'distinct images' if distinct else 'one image'}"
    demand(seen.calm.refused == 0, f"{kind}: the calm service refused {seen.calm.statuses}")
    demand(seen.flooded.refused == 0, f"{kind}: the other key was refused: {dict(seen.flooded.statuses)}")
    words = f"p99 {seen.calm.quantile(0.99):.2f} to {seen.flooded.quantile(0.99):.2f} s ({seen.ratio:.1f}x)"
    demand(seen.ratio <= MOST_SLOWER, f"{kind}: the other key's {words}")
    return f"{kind}: {words}, 0 of {len(seen.flooded.seconds)} refused"


def restarts(scale: Scale) -> str:
    """Restart two servers behind nginx and behind HAProxy, again and again, under closed loops."""
    with TemporaryDirectory() as folder:
        outcomes = rolling_restarts(Path(folder), scale.times(RESTARTS), enough=500)
    for name, counts in outcomes.items():
        demand(set(counts) <= {"answered", "streamed"}, f"{name}: {dict(counts)}")
    return "; ".join(f"{name}: 0 of {counts.total()} requests failed" for name, counts in outcomes.items())


SCENARIOS = (
    Scenario(
        "fairness",
        f"A flood by one key leaves another key unrefused, with a p99 within {MOST_SLOWER:g}x of its calm one",
        "64 and 80 long captions in flight by one key, retried at once, about one image and about distinct ones; the "
        "other key asks once a second for 2 minutes",
        fairness,
    ),
    Scenario(
        "rolling-restart",
        "A rolling restart behind nginx or HAProxy loses no request",
        f"{RESTARTS} restarts of each of two servers behind both proxies, under closed loops of plain and streamed "
        "requests",
        restarts,
    ),
)
