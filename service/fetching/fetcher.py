"""The API process's fetching of images: how many at a time and for whom, what they may hold, and what is counted.

Owns no HTTP: `service.fetching.fetch` has one image's. Event loop's thread only.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any, Protocol

import httpcore

from service.configuration.image_hosts import ANY_HOST, host_rules
from service.configuration.settings import Settings
from service.errors import FetchFailed, FetchOutcome, ServiceError
from service.fetching.connection import check_host
from service.fetching.fair_slots import FairSlots
from service.fetching.fetch import Fetch, FetchLimits
from service.fetching.resolver import SharedResolver
from service.fetching.urls import ImageLink
from service.images import ImageSource
from service.metrics.service_metrics import Metrics

USER_TIMEOUT_S = 60.0  # who waits for their own command may have a slow line
LOOK_S = 0.1  # between two looks at whether they still wait


class ClientMemory(Protocol):
    """Memory that is shared between clients, as that of uploads is."""

    def take(self, client: str, before: int, after: int) -> None:
        """Let what one request of a client holds grow from `before` to `after` bytes, or refuse."""

    def give_back(self, client: str, size: int, held_s: float) -> None:
        """Take back what one request has held, for so many seconds."""


@dataclass(slots=True)
class _HeldFile:
    """The memory of one fetched file."""

    memory: ClientMemory
    client: str
    size_bytes: int = 0
    since_s: float = field(default_factory=time.monotonic)

    def grow(self, size_bytes: int) -> None:
        """Hold so many bytes, if that is more than before."""
        if size_bytes > self.size_bytes:
            self.memory.take(self.client, self.size_bytes, size_bytes)
            self.size_bytes = size_bytes

    def give_back(self) -> None:
        """Hold nothing any more."""
        self.memory.give_back(self.client, self.size_bytes, time.monotonic() - self.since_s)


class ImageFetcher:
    """Images by URL, for the clients of the service.

    Args:
        settings: which hosts, how many at a time, how long and how large.
        metrics: where outcomes are counted.
        memory: what the files are counted against, together with the bodies of requests.
    """

    def __init__(self, settings: Settings, metrics: Metrics, memory: ClientMemory) -> None:
        self._rules = host_rules(settings.image_hosts)
        self._metrics, self._memory = metrics, memory
        self._slots = FairSlots(settings.image_fetches)
        self._resolver = SharedResolver(settings.image_fetches)
        tls = _tls() if self._rules else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._fetch = Fetch(self._rules, FetchLimits(settings.most_body_bytes, settings.image_fetch_timeout_s), tls)
        metrics.image_fetches_running.set_function(lambda: self._slots.held)

    @asynccontextmanager
    async def fetched(self, link: ImageLink, client: str) -> AsyncIterator[ImageSource]:
        """Fetch an image for a client; its memory is the client's until the context ends.

        Raises:
            FetchFailed: its URL is not allowed, or no image came from there.
            UploadsFull: the client holds too much memory.
        """
        held = _HeldFile(self._memory, client)
        try:
            yield ImageSource(await self._counted(link, held))
        finally:
            held.give_back()

    async def _counted(self, link: ImageLink, held: _HeldFile) -> bytes:
        outcome: FetchOutcome = "cancelled"
        try:
            check_host(link, self._rules)  # before it waits for others
            async with self._slots.slot(held.client):
                file = await self._timed(link, held)
            outcome = "fetched"
        except FetchFailed as error:
            outcome = error.outcome
            raise
        except ServiceError:
            outcome = "full"
            raise
        finally:
            self._metrics.image_fetches.labels(outcome).inc()
        return file

    async def _timed(self, link: ImageLink, held: _HeldFile) -> bytes:
        started_s = time.monotonic()
        try:
            fetch = replace(self._fetch, resolve=partial(self._resolver.resolve, held.client), hold=held.grow)
            return await fetch.image(link)
        finally:
            self._metrics.image_fetch_seconds.observe(time.monotonic() - started_s)


def fetch_for_user(link: ImageLink, max_bytes: int, stopped: Callable[[], bool] | None = None) -> bytes:
    """Fetch an image that the user of a command names, from wherever they say; blocks, in any thread.

    Args:
        link: where it is.
        max_bytes: that are taken.
        stopped: says that nobody waits for it any more.

    Raises:
        FetchFailed: no image came from there, or nobody waits for it.
    """
    fetch = Fetch(ANY_HOST, FetchLimits(max_bytes, USER_TIMEOUT_S), _tls())
    try:
        return asyncio.run(_while_wanted(fetch.image(link), link, stopped or (lambda: False)))
    except FetchFailed as error:
        raise FetchFailed(error.detail.replace("image_url", "image", 1)) from None


async def _while_wanted(image: Coroutine[Any, Any, bytes], link: ImageLink, stopped: Callable[[], bool]) -> bytes:
    task = asyncio.create_task(image)
    while not (await asyncio.wait({task}, timeout=LOOK_S))[0]:
        if stopped():
            task.cancel()
            raise FetchFailed.at(str(link.host), "nobody waits for it any more", "cancelled")
    return task.result()


@cache
def _tls() -> ssl.SSLContext:
    return httpcore.default_ssl_context()  # reads the certificates: some tens of ms
