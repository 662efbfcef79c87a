"""Scenarios in which worker processes die, hang, or run out of memory."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from tests.chaos.scenario import Scale, Scenario, demand
from tests.chaos.traffic import Tally, Traffic
from tests.chaos.victim import MIB, Victim, victim
from tests.support.deadly import DECODE
from tests.support.serving import SERVE, data_uri, image_file, wait_until

KILLS = 20
BETWEEN_S = 0.5  # of work for each worker before it is killed
DEADLY_SERVE = (
    "import service.dispatch.workers.worker_handle as h; from tests.support import deadly; h.run = deadly.run; "
)


def kills(scale: Scale) -> str:
    """SIGKILL the worker again and again under steady load."""
    times = scale.times(KILLS)

    async def violence(service: Victim, tally: Tally) -> None:
        for _ in range(times):
            await _goes_on(tally)
            before = service.worker
            service.kill_worker()
            await asyncio.to_thread(service.await_another_worker, before)

    with victim() as service:
        tally = asyncio.run(_under_load(service, violence))
        restarts = service.server.metric("pheye_worker_restarts_total")
        replays = service.server.metric("pheye_request_replays_total")
    tally.demand_all_right(least=times)
    demand(restarts == times, f"{restarts:.0f} restarts were counted, {times} workers were killed")
    return f"{tally}; {replays:.0f} answers replayed, p99 {tally.p99_s:.1f} s"


def hang(scale: Scale) -> str:
    """SIGSTOP the worker: it must be noticed, ended and replaced."""
    times = scale.times(3)

    async def violence(service: Victim, tally: Tally) -> None:
        for _ in range(times):
            await _goes_on(tally)
            before = service.worker
            service.kill_worker(signal.SIGSTOP)
            await asyncio.to_thread(service.await_another_worker, before)

    with victim(step_timeout_s=3) as service:
        tally = asyncio.run(_under_load(service, violence))
    tally.demand_all_right(least=times)
    return f"{tally}; p99 {tally.p99_s:.1f} s with PHEYE_STEP_TIMEOUT_S=3"


def no_memory(scale: Scale) -> str:
    """Take the worker's memory away: no more address space than it has in use."""
    times, died = scale.times(5), 0

    async def violence(service: Victim, tally: Tally) -> None:
        nonlocal died
        for _ in range(times):
            await _goes_on(tally)
            before = service.worker
            _bound_memory(before)
            await asyncio.sleep(3.0)  # of work that needs more
            try:
                os.kill(before, signal.SIGKILL)  # it lives with what it has; the next round is another worker's
            except ProcessLookupError:
                died += 1
            await asyncio.to_thread(service.await_another_worker, before)

    with victim() as service:
        tally = asyncio.run(_under_load(service, violence))
    tally.demand_all_right(least=times)
    return f"{tally}; {died} of {times} workers died of it, the others went on until they were killed"


def poison(scale: Scale) -> str:
    """Ask a question that kills every worker that works on it, among innocent ones."""
    deadly = {"image_url": data_uri(image_file()), "question": f"What is {DECODE}?",
              "settings": {"temperature": 1.0, "seed": 4, "max_tokens": 64}}  # fmt: skip
    statuses: list[int] = []

    async def violence(service: Victim, tally: Tally) -> None:
        async with httpx.AsyncClient(base_url=service.url, timeout=120.0) as client:
            for _ in range(scale.times(5)):
                await _goes_on(tally)
                statuses.append((await client.post("/v1/vqa", json=deadly)).status_code)

    with victim(serve=DEADLY_SERVE + SERVE, model="random:pheye-micro") as service:
        tally = asyncio.run(_under_load(service, violence))
    tally.demand_all_right()
    demand(set(statuses) == {500}, f"the deadly question was answered with {statuses}")
    return f"{tally} among the others; {len(statuses)} deadly requests got 500 after three workers each"


async def _under_load(service: Victim, violence: Callable[[Victim, Tally], Awaitable[None]]) -> Tally:
    traffic = Traffic(service.url)
    await traffic.learn()
    async with traffic.flowing() as tally:
        await violence(service, tally)
        await _goes_on(tally)
    return tally


async def _goes_on(tally: Tally) -> None:
    """Wait until some requests more have been answered."""
    before = tally.right
    await asyncio.to_thread(wait_until, lambda: tally.right >= before + 4, 60.0)
    await asyncio.sleep(BETWEEN_S)


def _bound_memory(pid: int) -> None:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[0])
    in_use = pages * resource.getpagesize()
    resource.prlimit(pid, resource.RLIMIT_AS, (in_use + MIB, in_use + MIB))


SCENARIOS = (
    Scenario(
        "worker-kills",
        "A worker's death costs a pause: no answer is lost or wrong",
        f"{KILLS} SIGKILLs of the worker under the load of 8 clients",
        kills,
    ),
    Scenario(
        "worker-hangs",
        "A worker that makes no progress is replaced, and its requests are answered",
        "3 times SIGSTOP of the worker under the load of 8 clients",
        hang,
    ),
    Scenario(
        "worker-memory",
        "A worker that runs out of memory costs no answer",
        "5 times an address-space limit (prlimit) at what the worker uses, under the load of 8 clients",
        no_memory,
    ),
    Scenario(
        "poison",
        "A request that kills its workers fails alone",
        "5 questions that kill every worker that decodes them, among the load of 8 clients",
        poison,
    ),
)
