"""Scenario of an hour of mixed load, at whose end the service must hold what it held at the beginning."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field

import httpx
import numpy as np

from loadtest.images import picture
from tests.chaos.scenario import Scale, Scenario, demand
from tests.chaos.traffic import Traffic
from tests.chaos.victim import MIB, Usage, Victim, victim
from tests.support.serving import data_uri, wait_until

HOUR_S = 3600.0
SAMPLE_S = 5.0
WARM_UP_SHARE = 0.25  # of the time, in which caches fill and allocators settle
MOST_GROWTH_MIB_PER_HOUR = 32.0
IDLE_S = 60.0  # how soon after the last request everything must be given back
GAUGES = ("pheye_slots_used", "pheye_requests_running", "pheye_requests_waiting")


@dataclass(slots=True)
class Samples:
    """What the API process held, again and again."""

    at_s: list[float] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)

    def growth_mib_per_hour(self) -> float:
        """Fit a line through the memory after the warm-up and return its slope."""
        first = int(len(self.at_s) * WARM_UP_SHARE)
        memory = [usage.rss_bytes / MIB for usage in self.usages[first:]]
        return float(np.polyfit(self.at_s[first:], memory, 1)[0]) * HOUR_S


def endurance(scale: Scale) -> str:
    """Mix answers, streams, new images, hang-ups, uploads and broken input for an hour."""
    return asyncio.run(_endurance(scale.seconds(HOUR_S)))


async def _endurance(seconds: float) -> str:
    with victim() as service:
        traffic = Traffic(service.url)
        await traffic.learn()
        before, samples, oddities = service.usage(), Samples(), Oddities(service.url)
        async with traffic.flowing(clients=3) as tally:
            sampling = asyncio.create_task(_sample(service, samples))
            await oddities.go_on(seconds)
            sampling.cancel()
        await asyncio.to_thread(wait_until, lambda: _is_idle(service, before), IDLE_S)
        after = service.usage()
    tally.demand_all_right()
    demand(not oddities.wrong, f"odd requests were answered with {oddities.wrong}")
    return (
        f"{tally}, beside {oddities.sent} odd requests in {seconds / 60:.0f} min; {_growth(samples, seconds)}before: "
        f"{before}; after: {after}; slots, running and waiting requests back to 0"
    )


def _growth(samples: Samples, seconds: float) -> str:
    if seconds < HOUR_S / 4:  # a line through a shorter time says nothing
        return ""
    growth = samples.growth_mib_per_hour()
    demand(growth < MOST_GROWTH_MIB_PER_HOUR, f"memory grew by {growth:.0f} MiB an hour")
    return f"memory {growth:+.0f} MiB/h after the warm-up; "


async def _sample(service: Victim, samples: Samples) -> None:
    started_s = time.monotonic()
    while True:
        samples.usages.append(await asyncio.to_thread(service.usage))
        samples.at_s.append(time.monotonic() - started_s)
        await asyncio.sleep(SAMPLE_S)


def _is_idle(service: Victim, before: Usage) -> bool:
    now = service.usage()
    at_rest = all(service.server.metric(gauge) == 0.0 for gauge in GAUGES)
    return at_rest and now.descriptors <= before.descriptors and now.tasks <= before.tasks


class Oddities:
    """Requests beside the traffic: new images each time, uploads by id, hang-ups, and input that is refused.

    Attributes:
        sent: how many there were.
        wrong: what was answered otherwise than expected.
    """

    def __init__(self, url: str) -> None:
        self.sent = 0
        self.wrong: list[str] = []
        self._url = url
        self._chance = random.Random(11)

    async def go_on(self, seconds: float) -> None:
        """Send one after the other."""
        end_s = time.monotonic() + seconds
        async with httpx.AsyncClient(base_url=self._url, timeout=60.0) as client:
            kinds = itertools.cycle((self._new_image, self._upload, self._hang_up, self._broken, self._estimate))
            while time.monotonic() < end_s:
                await next(kinds)(client, self._picture())
                self.sent += 1
                await asyncio.sleep(0.05)

    def _picture(self) -> bytes:
        width, height = self._chance.randrange(32, 1200), self._chance.randrange(32, 900)
        return picture(f"odd {self.sent}", self._chance.choice(("JPEG", "PNG")), width, height)

    async def _new_image(self, client: httpx.AsyncClient, file: bytes) -> None:
        """Ask twice about an image nobody has sent before; the second answer, from the cache, must be the same."""
        ask = {"image_url": data_uri(file), "settings": {"temperature": 1.0, "seed": 3, "max_tokens": 16}}
        answers = [await client.post("/v1/caption", json=ask) for _ in range(2)]
        self._expect(answers[0], 200)
        if len({answer.json().get("caption") for answer in answers}) != 1:
            self.wrong.append("two captions of one image")

    async def _upload(self, client: httpx.AsyncClient, file: bytes) -> None:
        stored = await client.post("/v1/images", files={"image": ("odd", file)})
        if self._expect(stored, 200, 201):
            image_id = stored.json()["id"]
            ask = {"image_url": image_id, "question": "What is it?", "settings": {"max_tokens": 4}}
            self._expect(await client.post("/v1/vqa", json=ask), 200)
            self._expect(await client.delete(f"/v1/images/{image_id}"), 200, 204)

    async def _hang_up(self, client: httpx.AsyncClient, file: bytes) -> None:
        ask = {"image_url": data_uri(file), "settings": {"temperature": 1.0, "seed": 4, "max_tokens": 200}}
        with suppress(TimeoutError):
            async with asyncio.timeout(self._chance.random() * 0.3):
                await client.post("/v1/caption", json=ask)

    async def _broken(self, client: httpx.AsyncClient, file: bytes) -> None:
        cut = file[: self._chance.randrange(1, len(file) // 2)]
        self._expect(await client.post("/v1/caption", json={"image_url": data_uri(cut)}), 415, 422)

    async def _estimate(self, client: httpx.AsyncClient, file: bytes) -> None:
        self._expect(await client.post("/v1/estimate", json={"image_url": data_uri(file)}), 200)

    def _expect(self, response: httpx.Response, *statuses: int) -> bool:
        if response.status_code in statuses:
            return True
        self.wrong.append(f"{response.request.url.path}: {response.status_code} {response.text[:200]}")
        return False


SCENARIOS = (
    Scenario(
        "endurance",
        "Nothing leaks: memory, descriptors, tasks and slots are given back",
        "1 hour of answers, streams, hang-ups, uploads, broken files and new images, none of them twice",
        endurance,
    ),
)
