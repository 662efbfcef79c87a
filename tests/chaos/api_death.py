"""Scenario in which the API process itself is killed: the one death that clients see."""

from __future__ import annotations

import asyncio
import os
import signal

from tests.chaos.scenario import Scale, Scenario, demand
from tests.chaos.traffic import Tally, Traffic
from tests.chaos.victim import victim
from tests.support.serving import wait_until

LINGER_S = 10.0  # how soon every process of the service must be gone


def kill(scale: Scale) -> str:
    """SIGKILL the API process under load, with a fresh one each time."""
    tallies = [asyncio.run(_kill_once()) for _ in range(scale.times(5))]
    right, wrong = sum(each.right for each in tallies), sum(each.wrong for each in tallies)
    broken = sum(sum(each.lost.values()) for each in tallies)
    demand(wrong == 0, f"{wrong} wrong answers")
    demand(broken > 0, "no client noticed")
    return f"{right} right, {wrong} wrong, {broken} broken connections; no process left after {LINGER_S:g} s"


async def _kill_once() -> Tally:
    with victim() as service:
        traffic = Traffic(service.url)
        await traffic.learn()
        async with traffic.flowing() as tally:
            await asyncio.to_thread(wait_until, lambda: tally.right >= 16, 60.0)
            family = service.descendants
            demand(len(family) > 0, "the service has no worker process")
            os.kill(service.pid, signal.SIGKILL)
            await asyncio.to_thread(service.server.process.wait)
            await asyncio.to_thread(wait_until, lambda: not [pid for pid in family if _runs(pid)], LINGER_S)
        return tally


def _runs(pid: int) -> bool:
    """Say whether a process is there and not merely waiting to be buried."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


SCENARIOS = (
    Scenario(
        "api-kill",
        "When the API process dies, clients see a broken connection, never a wrong answer; no process is left",
        "5 times SIGKILL of the API process under the load of 8 clients",
        kill,
    ),
)
