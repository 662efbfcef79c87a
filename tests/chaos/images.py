"""Scenarios of image files made to cost as much as they can, and of decoder processes that die."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path

import httpx

from tests.chaos.scenario import Scale, Scenario, demand
from tests.chaos.traffic import Tally, Traffic, quantile
from tests.chaos.victim import MIB, Victim, victim
from tests.support import hostile
from tests.support.serving import wait_until

BOMBS = {
    "scans (JPEG)": lambda: hostile.scan_bomb(3000, 100),
    "too many scans (JPEG)": lambda: hostile.scan_bomb(3000, 9000),
    "segments (JPEG)": lambda: hostile.jpeg_segments(4_000_000),
    "comments (GIF)": lambda: hostile.gif_comments(5_000_000),
    "chunks (PNG)": lambda: hostile.png_chunks(1_000_000),
    "runs (BMP)": lambda: hostile.bmp_runs(7000, 15_000_000),
    "bad tags (PNG)": lambda: hostile.png_bad_exif(60_000),
    "canvas (WEBP)": lambda: hostile.webp_canvas(16_000, 16_000),
    "tile (TIFF)": lambda: hostile.tiff_tile(40_000),
    "strip (TIFF)": lambda: hostile.tiff_strip(7000, 7000, 7000),
}
HANG_UPS = 0.5  # share of the bombs whose client leaves after a moment
MOST_GROWTH_MIB = 400  # of the API process, while four bombs are on their way
SLOWEST_S = 5.0  # p99 of a small request among the bombs
DECODER_KILLS = 200


def bombs(scale: Scale) -> str:
    """Send hostile files while others ask about small pictures."""
    with victim() as service:
        return asyncio.run(_bombs(service, scale.times(100)))


async def _bombs(service: Victim, count: int) -> str:
    traffic = Traffic(service.url)
    await traffic.learn()
    before, statuses, peak = service.usage(), Counter[str](), 0
    files = {name: make() for name, make in BOMBS.items()}
    chance, turns = random.Random(5), iter(itertools.islice(itertools.cycle(files.items()), count))

    async def attacker(client: httpx.AsyncClient) -> None:
        for name, file in turns:
            patience = chance.random() if chance.random() < HANG_UPS else 60.0
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    sent = await client.post("/v1/caption", content=file, headers={"Content-Type": "image/x"})
                    statuses[f"{sent.status_code} {name}"] += 1

    async with traffic.flowing(clients=2) as tally, httpx.AsyncClient(base_url=service.url, timeout=90.0) as client:
        attackers = [asyncio.create_task(attacker(client)) for _ in range(4)]
        while not all(each.done() for each in attackers):
            peak = max(peak, service.usage().rss_bytes)
            await asyncio.sleep(0.2)
        await asyncio.gather(*attackers)
    await asyncio.to_thread(wait_until, lambda: service.server.metric("pheye_decoders_busy") == 0.0, 30.0)
    _demand_contained(tally, statuses, (peak - before.rss_bytes) / MIB)
    return (
        f"{count} files, {sum(statuses.values())} of them answered: {_by_status(statuses)}; {tally} for others, p99 "
        f"{tally.p99_s:.1f} s; the API process grew by {(peak - before.rss_bytes) / MIB:.0f} MiB at most"
    )


def _demand_contained(tally: Tally, statuses: Counter[str], growth_mib: float) -> None:
    tally.demand_all_right(least=8)
    odd = [status for status in statuses if status[:3] not in ("200", "408", "413", "415", "422", "429", "504")]
    demand(not odd, f"hostile files were answered with {odd}")
    demand(growth_mib < MOST_GROWTH_MIB, f"the API process grew by {growth_mib:.0f} MiB")
    demand(quantile(tally.seconds, 0.99) < SLOWEST_S, f"p99 of small requests was {tally.p99_s:.1f} s")


def _by_status(statuses: Counter[str]) -> str:
    by_status = Counter[str]()
    for name, count in statuses.items():
        by_status[name[:3]] += count
    return ", ".join(f"{count} x {status}" for status, count in sorted(by_status.items()))


def decoder_kills(scale: Scale) -> str:
    """SIGKILL decoders, whichever runs, while clients send images."""
    with victim() as service:
        return asyncio.run(_decoder_kills(service, scale.times(DECODER_KILLS)))


async def _decoder_kills(service: Victim, count: int) -> str:
    traffic = Traffic(service.url)
    await traffic.learn()
    chance, killed = random.Random(7), 0
    async with traffic.flowing() as tally:
        while killed < count:
            decoders = decoder_pids(service)
            if decoders:
                with suppress(ProcessLookupError):
                    os.kill(chance.choice(decoders), signal.SIGKILL)
                    killed += 1
            await asyncio.sleep(0.1)
    tally.demand_all_right(least=8)
    await asyncio.to_thread(wait_until, lambda: len(decoder_pids(service)) == 2, 30.0)
    return f"{killed} kills: {tally}, p99 {tally.p99_s:.1f} s"


def decoder_pids(service: Victim) -> list[int]:
    """List the processes that the fork server has started: the decoders."""
    return [pid for pid in service.descendants if "forkserver" in _command(_parent(pid))]


def _command(pid: int) -> str:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    return ""


def _parent(pid: int) -> int:
    with suppress(FileNotFoundError, ProcessLookupError):
        return int(Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])
    return 0


SCENARIOS = (
    Scenario(
        "image-bombs",
        "A file made to be dear costs its sender alone",
        "100 hostile files of 10 kinds from 4 clients, half of whom hang up, among the load of 2 others",
        bombs,
    ),
    Scenario(
        "decoder-kills",
        "A decoder's death costs no answer",
        f"{DECODER_KILLS} SIGKILLs of decoders, ten a second, under the load of 8 clients",
        decoder_kills,
    ),
)
