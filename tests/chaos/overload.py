"""Scenario of more requests than the machine can answer, for minutes."""

from __future__ import annotations

import asyncio
import time

import httpx

from tests.chaos.scenario import Scale, Scenario, demand
from tests.chaos.traffic import Tally, Traffic, quantile
from tests.chaos.victim import victim

CALM_CLIENTS = 8
MEASURE_S = 10.0
OVERLOAD_S = 180.0
TIMES = 3
PROBE_S = 0.2  # between two probes
SLOWEST_PROBE_S = 1.0


def overload(scale: Scale) -> str:
    """Send three times what the service can answer, without waiting for answers, and probe it meanwhile."""
    return asyncio.run(_overload(scale))


async def _overload(scale: Scale) -> str:
    with victim() as service:
        traffic = Traffic(service.url, max_tokens=32)
        await traffic.learn()
        measure_s = min(MEASURE_S, scale.seconds(OVERLOAD_S))
        async with traffic.flowing(CALM_CLIENTS) as calm:
            await asyncio.sleep(measure_s)
        rate = TIMES * calm.right / measure_s
        flood, probes = Tally(), list[float]()
        probing = asyncio.create_task(_probe(service.url, probes))
        sent = await traffic.pour(rate, scale.seconds(OVERLOAD_S), flood)
        probing.cancel()
        usage = service.usage()
    demand(flood.wrong == 0, f"{flood.wrong} wrong answers")
    demand(not flood.lost, f"accepted requests were lost: {dict(flood.lost)}")
    demand(flood.right + flood.refused == sent, f"{sent} were sent, {flood.right + flood.refused} answered or refused")
    demand(flood.refused > 0, "it was no overload: nothing was refused")
    slowest = quantile(probes, 0.99)
    demand(slowest < SLOWEST_PROBE_S, f"p99 of /livez was {slowest:.2f} s")
    return (
        f"{sent} requests at {rate:.0f}/s: {flood.right} right, {flood.wrong} wrong, {flood.refused} refused with "
        f"Retry-After, 0 lost; p99 of /livez {slowest * 1000:.0f} ms; {usage}"
    )


async def _probe(url: str, seconds: list[float]) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=30.0) as client:
        while True:
            started_s = time.monotonic()
            (await client.get("/livez")).raise_for_status()
            seconds.append(time.monotonic() - started_s)
            await asyncio.sleep(PROBE_S)


SCENARIOS = (
    Scenario(
        "overload",
        "Under overload every request is answered rightly or refused with Retry-After, and probes stay quick",
        "3 times the measured capacity for 3 minutes, sent without waiting for answers",
        overload,
    ),
)
