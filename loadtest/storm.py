"""A storm of impatient clients: closed-loop requests over HTTP, a share of which hang up at a random moment.

Speaks HTTP only. `python -m loadtest.storm URL IMAGE` prints what came of it as JSON; exit code 1 if an answer is lost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx


@dataclass(slots=True)
class StormReport:
    """What came of a storm. `refused` counts answers of 429 and 503, each of which was asked again.

    Seconds are of the answered requests, refusals included, sorted.
    """

    answered: int = 0
    hung_up: int = 0
    refused: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    took_s: float = 0.0


async def storm(
    url: str,
    images: Sequence[bytes],
    *,
    requests: int = 200,
    clients: int = 32,
    hang_up_share: float = 0.4,
    max_tokens: int = 32,
    seed: int = 0,
) -> StormReport:
    """Ask until `requests` have been made, by `clients` at a time.

    Args:
        url: of the service.
        images: files to ask about.
        requests: how many in all.
        clients: how many at once.
        hang_up_share: share of the requests whose client leaves after a random time of up to half a second.
        max_tokens: of each answer.
        seed: makes who asks what and who leaves when repeatable.
    """
    chance, report, started = random.Random(seed), StormReport(), time.monotonic()  # noqa: S311 - no secrets here
    plans = [
        (
            chance.choice(images),
            chance.random() * 0.5 if chance.random() < hang_up_share else None,
            chance.random() < 0.5,
        )
        for _ in range(requests)
    ]
    todo = iter(plans)
    async with httpx.AsyncClient(base_url=url, timeout=120.0, limits=httpx.Limits(max_connections=clients)) as http:

        async def client() -> None:
            for image, leave_after_s, streamed in todo:
                await _one(http, report, image, leave_after_s, {"stream": streamed, "max_tokens": max_tokens})

        await asyncio.gather(*(client() for _ in range(clients)))
    report.took_s = time.monotonic() - started
    report.seconds.sort()
    return report


async def _one(
    http: httpx.AsyncClient,
    report: StormReport,
    image: bytes,
    leave_after_s: float | None,
    settings: dict[str, int | bool],
) -> None:
    fields = {
        "question": "What is in the image?",
        "stream": str(settings["stream"]).lower(),
        "settings": json.dumps({"max_tokens": settings["max_tokens"]}),
    }
    asked_s = time.monotonic()
    try:
        async with asyncio.timeout(leave_after_s):
            response = await _until_accepted(http, report, fields, image)
    except TimeoutError:
        report.hung_up += 1
        return
    complete = response.is_success and ("completed" in response.text or "answer" in response.text)
    report.statuses[str(response.status_code)] += 1
    report.answered += complete
    report.seconds.append(time.monotonic() - asked_s)


async def _until_accepted(
    http: httpx.AsyncClient, report: StormReport, fields: dict[str, str], image: bytes
) -> httpx.Response:
    """Ask as a polite client does: again after Retry-After, for as long as the service says so."""
    while True:
        response = await http.post("/v1/vqa", data=fields, files={"image": image})
        if response.status_code not in (429, 503):
            return response
        report.refused += 1
        await asyncio.sleep(float(response.headers["Retry-After"]))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--clients", type=int, default=32)
    options = parser.parse_args()
    images = [path.read_bytes() for path in options.images]
    report = asyncio.run(storm(options.url, images, requests=options.requests, clients=options.clients))
    sys.stdout.write(json.dumps(asdict(report), indent=2) + "\n")
    return 0 if report.answered + report.hung_up == options.requests else 1


if __name__ == "__main__":
    sys.exit(main())
