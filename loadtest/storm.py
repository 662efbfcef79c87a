"""Storm of impatient clients: closed-loop requests over HTTP, a share of which hang up at a random moment.

`python -m loadtest.storm URL IMAGE` prints what came of it as JSON; exit code 1 if an answer is lost, 130
after Ctrl-C.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from loadtest.client import OK, Client, open_http
from loadtest.ending import ended
from loadtest.loops import share_out
from loadtest.mix import PlannedRequest
from loadtest.options import read_address, read_file, read_key, whole_number
from loadtest.parser import Parser

QUESTIONS = ("What is in the image?",)
PATIENCE_S = 300.0  # for how long a client that is refused asks again


@dataclass(slots=True)
class StormReport:
    """Results of a storm.

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
    key: str | None = None,
) -> StormReport:
    """Run the storm until `requests` have been made, by `clients` at a time.

    Args:
        url: of the service.
        images: files to ask about.
        requests: how many in all.
        clients: how many at once.
        hang_up_share: share of the requests whose client leaves after a random time of up to half a second.
        max_tokens: of each answer.
        seed: makes who asks what and who leaves when repeatable.
        key: API key, if the service asks for one.
    """
    chance, report, started = random.Random(seed), StormReport(), time.monotonic()  # noqa: S311 - no secrets here
    plans = [
        _StormRequest(
            chance.choice(images),
            chance.random() * 0.5 if chance.random() < hang_up_share else None,
            chance.random() < 0.5,
        )
        for _ in range(requests)
    ]
    async with open_http(url, clients, key=key) as http:
        client = Client(http, PATIENCE_S)

        async def one(plan: _StormRequest) -> None:
            await _one(
                client, report, PlannedRequest(plan.image, QUESTIONS, plan.stream, max_tokens), plan.leave_after_s
            )

        await share_out(plans, clients, one)
    report.refused = client.refusals
    report.took_s = time.monotonic() - started
    report.seconds.sort()
    return report


@dataclass(frozen=True, slots=True)
class _StormRequest:
    """Request of one client, and when it loses patience, if it does."""

    image: bytes
    leave_after_s: float | None
    stream: bool


async def _one(client: Client, report: StormReport, ask: PlannedRequest, leave_after_s: float | None) -> None:
    asked_s = time.monotonic()
    try:
        async with asyncio.timeout(leave_after_s):
            reply = await client.ask(ask)
    except TimeoutError:
        report.hung_up += 1
        return
    report.statuses[reply.status] += 1
    report.answered += reply.status == OK
    report.seconds.append(reply.ended_s - asked_s)


def main() -> int:
    """Run the command line."""
    parser = Parser("python -m loadtest.storm", "Requests of impatient clients, some of whom hang up.")
    parser.argument("url", type=read_address)
    parser.argument("images", several=True, type=read_file)
    parser.option("--requests", "Requests in all.", type=whole_number(1), default=200, metavar="N")
    parser.option("--clients", "Clients at a time.", type=whole_number(1), default=32, metavar="N")
    parser.option("--api-key-file", "A file that holds nothing but the API key.", type=read_key, metavar="FILE")
    options = parser.parse_args()
    load = {"requests": options.requests, "clients": options.clients, "key": options.api_key_file}
    report = asyncio.run(storm(options.url, options.images, **load))
    told = asdict(report) | {"statuses": report.statuses}  # asdict would count the pairs of a Counter
    sys.stdout.write(json.dumps(told, indent=2) + "\n")
    return 0 if report.answered + report.hung_up == options.requests else 1


if __name__ == "__main__":
    sys.exit(ended(main))
