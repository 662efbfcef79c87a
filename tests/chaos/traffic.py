"""Traffic whose right answers are known: every answer is compared with the one that a calm service gave.

Closed-loop clients ask seeded questions about a few images, streamed or not. A refusal that says when to come back is
obeyed; everything else that is not the right answer counts against the service.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from loadtest.images import picture
from tests.chaos.pouring import post_once, ticks
from tests.chaos.scenario import demand
from tests.support.serving import data_uri

TIMEOUT_S = 120.0
LONGEST_WAIT_S = 5.0  # a refused client comes back after this at the latest
REFUSALS = {429, 503}


@dataclass(frozen=True, slots=True)
class Question:
    """A request whose answer is the same every time."""

    image: str
    seed: int
    stream: bool
    max_tokens: int

    @property
    def body(self) -> dict[str, Any]:
        """The JSON body of the request."""
        settings = {"temperature": 1.0, "seed": self.seed, "max_tokens": self.max_tokens}
        return {
            "image_url": self.image, "question": "What is in the image?", "settings": settings, "stream": self.stream
        }  # fmt: skip


@dataclass(slots=True)
class Tally:
    """What came of the requests of a run.

    Attributes:
        right: answers equal to the calm service's.
        wrong: whole answers that differ from it.
        refused: 429 and 503 with a Retry-After; the client came back.
        lost: accepted requests without an answer, by what was seen instead.
        seconds: how long each right answer took, refusals included.
    """

    right: int = 0
    wrong: int = 0
    refused: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    @property
    def p99_s(self) -> float:
        """The 99th percentile of the seconds."""
        return quantile(self.seconds, 0.99)

    def demand_all_right(self, least: int = 1) -> None:
        """Demand that no answer was wrong, none was lost, and that there were some at all."""
        demand(self.wrong == 0, f"{self.wrong} wrong answers")
        demand(not self.lost, f"{sum(self.lost.values())} lost requests: {dict(self.lost)}")
        demand(self.right >= least, f"only {self.right} answers; at least {least} were expected")

    def __str__(self) -> str:
        return f"{self.right} right, {self.wrong} wrong, {sum(self.lost.values())} lost"


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the values are; 0.0 of none.

    >>> quantile([3.0, 1.0, 2.0], 0.5)
    2.0
    """
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0.0


class Traffic:
    """Closed-loop clients of one service, and the answers they expect."""

    def __init__(
        self, url: str, *, images: int = 6, max_tokens: int = 48, headers: dict[str, str] | None = None
    ) -> None:
        self.url = url
        self._headers = headers or {}
        files = [data_uri(picture(f"chaos {n}", width_px=160, height_px=120)) for n in range(images)]
        self._questions = [
            Question(file, seed, stream, max_tokens)
            for seed, file in enumerate(files)
            for stream in (False, True)
        ]  # fmt: skip
        self._expected: dict[Question, str] = {}

    async def learn(self) -> None:
        """Ask every question once, alone: these are the right answers.

        Raises:
            PromiseBrokenError: a calm service does not answer.
        """
        async with self._client() as client:
            for question in self._questions:
                tally = Tally()
                self._expected[question] = ""
                await self._ask(client, question, tally, learn=True)
                demand(not tally.lost, f"the calm service did not answer: {dict(tally.lost)}")

    @asynccontextmanager
    async def flowing(self, clients: int = 8, tally: Tally | None = None) -> AsyncIterator[Tally]:
        """Keep `clients` asking while the block runs; at its end every request under way is waited for."""
        tally = tally or Tally()
        stop = asyncio.Event()
        async with self._client() as client:
            loops = [asyncio.create_task(self._loop(client, n, tally, stop)) for n in range(clients)]
            try:
                yield tally
            finally:
                stop.set()
                await asyncio.gather(*loops)

    async def pour(self, rate: float, seconds: float, tally: Tally) -> int:
        """Send `rate` requests a second whether or not any is answered; a refused client does not come back.

        Returns:
            How many were sent; all of them have ended.
        """
        bodies = itertools.cycle([(each, json.dumps(each.body).encode()) for each in self._questions])
        sent = 0
        async with asyncio.TaskGroup() as group:
            async for _ in ticks(rate, seconds):
                group.create_task(self._ask_once(*next(bodies), tally))
                sent += 1
        return sent

    def _client(self) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        return httpx.AsyncClient(base_url=self.url, timeout=TIMEOUT_S, limits=limits, headers=self._headers)

    async def _loop(self, client: httpx.AsyncClient, first: int, tally: Tally, stop: asyncio.Event) -> None:
        for question in itertools.islice(itertools.cycle(self._questions), first, None):
            if stop.is_set():
                return
            await self._ask(client, question, tally)

    async def _ask(
        self,
        client: httpx.AsyncClient,
        question: Question,
        tally: Tally,
        *,
        learn: bool = False,
    ) -> None:
        started_s = time.monotonic()
        try:
            answer = await self._answer(client, question, tally)
        except httpx.TransportError as error:
            tally.lost[type(error).__name__] += 1
            await asyncio.sleep(0.1)  # a service that is gone is not asked thousands of times
            return
        if answer is None:
            return
        if learn:
            self._expected[question] = answer
        self._judge(question, answer, tally, started_s)

    async def _ask_once(self, question: Question, body: bytes, tally: Tally) -> None:
        started_s = time.monotonic()
        try:
            answer = await asyncio.wait_for(post_once(self.url, "/v1/vqa", body, self._headers), TIMEOUT_S)
        except (OSError, EOFError) as error:
            tally.lost[type(error).__name__] += 1
            return
        if answer.status in REFUSALS and "retry-after" in answer.headers:
            tally.refused += 1
        elif answer.status != 200:
            tally.lost[str(answer.status)] += 1
        elif (text := _text_in(answer.headers["content-type"], answer.body.decode(), tally)) is not None:
            self._judge(question, text, tally, started_s)

    def _judge(self, question: Question, answer: str, tally: Tally, started_s: float) -> None:
        if answer == self._expected[question]:
            tally.right += 1
            tally.seconds.append(time.monotonic() - started_s)
        else:
            tally.wrong += 1

    async def _answer(self, client: httpx.AsyncClient, question: Question, tally: Tally) -> str | None:
        while True:
            async with client.stream("POST", "/v1/vqa", json=question.body) as response:
                if response.status_code == 200:
                    body = (await response.aread()).decode()
                    return _text_in(response.headers["content-type"], body, tally)
                retry_after = response.headers.get("retry-after")
            if response.status_code not in REFUSALS or retry_after is None:
                tally.lost[str(response.status_code)] += 1
                return None
            tally.refused += 1
            await asyncio.sleep(min(float(retry_after), LONGEST_WAIT_S))


def _text_in(content_type: str, body: str, tally: Tally) -> str | None:
    """Return the text of an answer, whole or streamed; None if it is an error in mid-stream."""
    if not content_type.startswith("text/event-stream"):
        answer: str = json.loads(body)["answer"]
        return answer
    text, ended = "", False
    for line in body.splitlines():
        if not line.startswith("data: "):
            continue
        event = json.loads(line.removeprefix("data: "))
        if "error" in event:
            tally.lost[f"{event['error']['status']} in mid-stream"] += 1
            return None
        text += event.get("chunk", "")
        ended = ended or bool(event.get("completed"))
    if ended:
        return text
    tally.lost["stream without its end"] += 1
    return None
