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

PATIENCE_S = 300.0  # for how long a client that is refused asks again


@dataclass(slots=True)
class StormReport:
    """What came of a storm.

    Attributes:
        answered: requests that got their whole answer.
        hung_up: requests whose client left first.
        refused: answers of 429 and 503 that said when to come back; their clients did, these are not lost.
        statuses: how the requests that were not left ended: a status, that of an error at the end of a stream included,
            or what broke the connection.
        seconds: that these took, refusals included; sorted.
        took_s: all of it.
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
            status = _status(response)
    except TimeoutError:
        report.hung_up += 1
        return
    except httpx.TransportError as error:
        status = type(error).__name__
    report.statuses[status] += 1
    report.answered += status == "200"
    report.seconds.append(time.monotonic() - asked_s)


async def _until_accepted(
    http: httpx.AsyncClient, report: StormReport, fields: dict[str, str], image: bytes
) -> httpx.Response:
    """Ask as a polite client does: again after Retry-After, as long as the service names one and patience lasts."""
    end_s = time.monotonic() + PATIENCE_S
    while True:
        response = await http.post("/v1/vqa", data=fields, files={"image": image})
        again_s = response.headers.get("Retry-After") if response.status_code in (429, 503) else None
        if again_s is None or time.monotonic() + float(again_s) > end_s:
            return response
        report.refused += 1
        await asyncio.sleep(float(again_s))


def _status(response: httpx.Response) -> str:
    """How a request ended: a stream has begun with 200 before it can fail, and says so in its last event."""
    if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
        return str(response.status_code)
    events = [
        json.loads(line.removeprefix("data: ")) for line in response.text.splitlines() if line.startswith("data: ")
    ]
    end = events[-1] if events else {}
    if "error" in end:
        return str(end["error"]["status"])
    return "200" if end.get("completed") else "cut short"


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
