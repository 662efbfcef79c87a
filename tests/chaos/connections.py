"""Scenarios of clients that hold connections: silent, slow, half-finished, or more than there are descriptors."""

from __future__ import annotations

import asyncio
import resource
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx

from tests.chaos.scenario import Scale, Scenario, demand
from tests.chaos.traffic import Tally, Traffic, quantile
from tests.chaos.victim import Victim, victim
from tests.support.serving import wait_until

DESCRIPTORS = 512
HOLD_S = 60.0
PROBE_S = 0.2
SLOWEST_PROBE_S = 1.0
MOST_PER_S = 200  # new connections: more are a flood of packets, which is the network's business
MOST_LOG_BYTES = 200_000  # of a minute of flood


def silent(_: int) -> bytes:
    """Say nothing at all."""
    return b""


def half_head(n: int) -> bytes:
    """Send a request line and no end of the head."""
    return b"POST /v1/caption HTTP/1.1\r\nHost: x\r\nX-Number: %d\r\n" % n


def half_body(n: int) -> bytes:
    """Announce a body and send a part of it."""
    return b"POST /v1/caption HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 9000\r\n\r\n%d" % n


def flood(scale: Scale) -> str:
    """Open more connections than the server has descriptors, again and again, while others are served."""
    seconds = scale.seconds(HOLD_S)
    results = [asyncio.run(_held_open(kind, seconds)) for kind in (silent, half_head, half_body)]
    return "; ".join(results)


async def _held_open(kind: Callable[[int], bytes], seconds: float) -> str:
    with many_descriptors(), victim(open_files=DESCRIPTORS) as service:
        traffic = Traffic(service.url)
        await traffic.learn()
        log_bytes, probes, opened = len(service.server.log), list[float](), 0
        async with traffic.flowing(clients=4) as tally, _probing(service.url, probes):
            before = service.worker
            end_s = time.monotonic() + seconds
            flooding = asyncio.create_task(asyncio.to_thread(hold_many, service.url, kind, end_s))
            await asyncio.sleep(seconds / 2)
            service.kill_worker()
            await asyncio.to_thread(service.await_another_worker, before)
            opened = await flooding
        log_bytes = len(service.server.log) - log_bytes
        await asyncio.to_thread(wait_until, lambda: service.usage().descriptors < 64, 60.0)
    _demand_untouched(tally, probes, log_bytes)
    return (
        f"{opened} connections ({kind.__name__.replace('_', ' ')}): {tally}, p99 of /livez "
        f"{quantile(probes, 0.99) * 1000:.0f} ms, {log_bytes / 1000:.0f} kB of log"
    )


def _demand_untouched(tally: Tally, probes: list[float], log_bytes: int) -> None:
    tally.demand_all_right(least=8)
    demand(len(probes) > 0, "no probe was answered")
    demand(quantile(probes, 0.99) < SLOWEST_PROBE_S, f"p99 of /livez was {quantile(probes, 0.99):.2f} s")
    demand(log_bytes < MOST_LOG_BYTES, f"{log_bytes} bytes were logged")


@contextmanager
def many_descriptors() -> Iterator[None]:
    """Let this process open as many as the system allows: the flood is its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def hold_many(url: str, kind: Callable[[int], bytes], end_s: float, at_once: int = 1200) -> int:
    """Open connections until `end_s`, at most `at_once` at a time; those that the server closed are replaced.

    Returns:
        How many were opened.
    """
    host, port = httpx.URL(url).host, httpx.URL(url).port
    held: list[socket.socket] = []
    opened = 0
    try:
        while time.monotonic() < end_s:
            while len(held) < at_once and time.monotonic() < end_s:
                try:
                    connection = socket.create_connection((host, port), timeout=1.0)
                    connection.sendall(kind(opened))
                except OSError:
                    time.sleep(0.01)
                    continue
                connection.setblocking(False)
                held.append(connection)
                opened += 1
                time.sleep(1 / MOST_PER_S)
            held = [connection for connection in held if _is_open(connection)]
            time.sleep(0.05)
    finally:
        for connection in held:
            connection.close()
    return opened


def _is_open(connection: socket.socket) -> bool:
    try:
        if connection.recv(65536):
            return True
    except BlockingIOError:
        return True
    except OSError:
        pass
    connection.close()
    return False


@asynccontextmanager
async def _probing(url: str, seconds: list[float]) -> AsyncIterator[None]:
    """Ask /livez on a new connection each time, as an orchestrator does."""

    async def probe() -> None:
        while True:
            started_s = time.monotonic()
            async with httpx.AsyncClient(base_url=url, timeout=30.0) as client:
                (await client.get("/livez")).raise_for_status()
            seconds.append(time.monotonic() - started_s)
            await asyncio.sleep(PROBE_S)

    probing = asyncio.create_task(probe())
    try:
        yield
        demand(not probing.done(), f"a probe failed: {probing}")
    finally:
        probing.cancel()


def unread(scale: Scale) -> str:
    """Ask for large pages and never read them: the server must let go of these connections by itself."""
    with victim() as service:
        return asyncio.run(_unread(service, scale.times(200)))


async def _unread(service: Victim, connections: int) -> str:
    traffic = Traffic(service.url)
    await traffic.learn()
    before = service.usage()
    async with traffic.flowing(clients=4) as tally:
        held = await asyncio.to_thread(_ask_without_reading, service.url, connections)
        full = service.usage()
        await asyncio.to_thread(wait_until, lambda: service.usage().descriptors < before.descriptors + 20, 120.0)
    for connection in held:
        connection.close()
    tally.demand_all_right()
    return f"{connections} unread answers: {tally} for others; while they were held {full}, then {service.usage()}"


def _ask_without_reading(url: str, connections: int) -> list[socket.socket]:
    host, port = httpx.URL(url).host, httpx.URL(url).port
    page = b"GET /docs/redoc.standalone.js HTTP/1.1\r\nHost: x\r\n\r\n"
    held = []
    for _ in range(connections):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.connect((host, port))
        connection.sendall(page)
        held.append(connection)
    return held


SCENARIOS = (
    Scenario(
        "connection-flood",
        "Connections that are held open lock nobody out, and a worker that dies meanwhile is replaced",
        f"{DESCRIPTORS} descriptors and 1,200 connections at a time, up to 200 a second, a minute each: silent, "
        "half a head, half a body; the worker is killed in between",
        flood,
    ),
    Scenario(
        "unread",
        "Clients that never read what they asked for are let go",
        "200 connections that ask for a page of a megabyte and read nothing",
        unread,
    ),
)
