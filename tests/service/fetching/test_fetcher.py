"""Fetching for the clients of a service: fair, counted, and bounded in memory and look-ups."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from unittest.mock import Mock

import pytest

from service.api.connections.uploads import Uploads
from service.byte_units import MIB
from service.configuration.settings import Settings
from service.errors import FetchFailed, UploadsFull
from service.fetching.fetcher import ImageFetcher, fetch_for_user
from service.fetching.resolver import SharedResolver, resolve
from service.fetching.urls import parse_link
from service.metrics.service_metrics import Metrics
from tests.support.decoders import until
from tests.support.hostile_web import Web, answer, hostile_web
from tests.support.serving import image_file

IMAGE = image_file("PNG")
LARGE = IMAGE + bytes(MIB)


class Fetched:
    """A fetcher for one web server, and what it counts."""

    def __init__(self, web: Web, **settings: object) -> None:
        chosen = {"image_hosts": f"127.0.0.1:{web.port}", "image_fetch_timeout_s": 60.0} | settings
        self.metrics, self.uploads, self.web = Metrics(), Uploads(2 * MIB), web
        self.fetcher = ImageFetcher(Settings(**chosen), self.metrics, self.uploads)

    async def image(self, path: str = "/image", client: str = "me", then: Callable[[], None] = lambda: None) -> bytes:
        async with self.fetcher.fetched(parse_link(self.web.url(path)), client) as source:
            then()
            return source.file_bytes()

    def counted(self, outcome: str) -> float:
        return self.metrics.image_fetches.labels(outcome)._value.get()


def run(scenario: Callable[[Fetched], Awaitable[None]], answers: dict[str, bytes], **settings: object) -> None:
    async def whole() -> None:
        await scenario(Fetched(web, **settings))

    with hostile_web(answers) as web:
        asyncio.run(whole())


def test_an_image_is_counted_and_its_memory_is_its_clients_until_it_is_decoded():
    async def scenario(fetched: Fetched) -> None:
        held = []
        assert await fetched.image(then=lambda: held.append(fetched.uploads.held_bytes)) == IMAGE
        assert (held, fetched.uploads.held_bytes) == ([len(IMAGE)], 0)
        assert (fetched.counted("fetched"), fetched.counted("cancelled")) == (1, 0)
        assert fetched.metrics.image_fetch_seconds._sum.get() > 0

    run(scenario, {"/image": answer(IMAGE)})


def test_a_client_that_holds_too_much_is_refused_before_its_image_comes():
    async def scenario(fetched: Fetched) -> None:
        fetched.uploads.take("me", 0, MIB)
        fetched.uploads.take("other", 0, 1)
        with pytest.raises(UploadsFull):
            await fetched.image("/large")
        assert fetched.counted("full") == 1
        assert fetched.uploads.held_bytes == MIB + 1

    run(scenario, {"/large": answer(b"", length=len(LARGE))})


def test_a_refused_host_waits_for_nobody():
    async def scenario(fetched: Fetched) -> None:
        holding = asyncio.create_task(fetched.image("/held"))
        await until(lambda: fetched.web.heads)
        with pytest.raises(FetchFailed, match="not allowed"):
            async with fetched.fetcher.fetched(parse_link("http://example.org/"), "me"):
                pass
        assert fetched.counted("refused") == 1
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
        assert fetched.counted("cancelled") == 1

    run(scenario, {}, image_fetches=1)


def test_slow_hosts_of_one_client_do_not_hold_up_another():
    async def scenario(fetched: Fetched) -> None:
        greedy = [asyncio.create_task(fetched.image("/held", "greedy")) for _ in range(8)]
        await until(lambda: len(fetched.web.heads) == 2)
        assert await asyncio.wait_for(fetched.image("/image", "modest"), 30) == IMAGE
        assert fetched.metrics.image_fetches_running.collect()[0].samples[0].value == 2
        for each in greedy:
            each.cancel()
        await asyncio.gather(*greedy, return_exceptions=True)
        assert fetched.metrics.image_fetches_running.collect()[0].samples[0].value == 0

    run(scenario, {"/image": answer(IMAGE)}, image_fetches=4)


def test_a_look_up_counts_until_it_has_really_ended(monkeypatch):
    asked, release = threading.Event(), threading.Event()

    def stuck(*_, **__):
        asked.set()
        release.wait(60)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))]

    async def scenario() -> None:
        shared = SharedResolver(1)
        gone = asyncio.create_task(shared.resolve("greedy", "stuck.example", 80))
        await asyncio.to_thread(asked.wait, 30)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        waiting = asyncio.create_task(shared.resolve("greedy", "next.example", 80))
        await asyncio.sleep(0.05)
        assert shared._slots.held == 1
        release.set()
        assert str((await asyncio.wait_for(waiting, 30))[0]) == "192.0.2.1"
        assert shared._slots.held == 0

    monkeypatch.setattr(socket, "getaddrinfo", stuck)
    asyncio.run(scenario())


def test_a_look_up_without_a_thread_is_refused_and_its_client_may_ask_again(monkeypatch):
    async def scenario() -> None:
        shared = SharedResolver(1)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", Mock(side_effect=RuntimeError("can't start new thread")))
            for _ in range(3):
                with pytest.raises(OSError, match="can't start new thread"):
                    await asyncio.wait_for(shared.resolve("client", "localhost", 80), 30)
        assert shared._slots.held == 0
        assert await asyncio.wait_for(shared.resolve("client", "localhost", 80), 30)

    asyncio.run(scenario())


def test_a_look_up_that_fails_oddly_ends_too(monkeypatch):
    async def scenario() -> None:
        shared = SharedResolver(1)
        with pytest.raises(OSError, match="odd"):
            await asyncio.wait_for(shared.resolve("client", "odd.example", 80), 30)
        assert shared._slots.held == 0

    monkeypatch.setattr(socket, "getaddrinfo", Mock(side_effect=MemoryError("odd")))
    asyncio.run(scenario())


def test_names_are_looked_up_by_the_system():
    addresses = asyncio.run(resolve("localhost", 80))
    assert all(address.is_loopback for address in addresses)
    assert len(addresses) == len(set(addresses)) > 0


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a" * 300], ids=["unknown", "too-long"])
def test_a_name_without_addresses_is_an_os_error(name):
    with pytest.raises(OSError, match=r"name|Name|label|encode|host"):
        asyncio.run(resolve(name, 80))


def test_a_fetcher_without_hosts_says_what_to_set():
    async def scenario(fetched: Fetched) -> None:
        with pytest.raises(
            FetchFailed, match=r"^image_url: 127.0.0.1: images are not fetched here; .* PHEYE_IMAGE_HOSTS"
        ):
            await fetched.image()

    run(scenario, {"/image": answer(IMAGE)}, image_hosts="")


def test_a_fetch_ends_when_its_user_does_not_wait_any_more():
    with hostile_web({}) as web, pytest.raises(FetchFailed, match="nobody waits for it any more"):
        fetch_for_user(parse_link(web.url("/held")), MIB, lambda: bool(web.heads))


def test_a_command_fetches_for_its_user_and_names_no_field():
    with hostile_web({"/image": answer(IMAGE), "/none": answer(b"", status="404 Not Found")}) as web:
        assert fetch_for_user(parse_link(web.url()), MIB) == IMAGE
        with pytest.raises(FetchFailed, match=r"^image: 127.0.0.1: it answered 404 instead of an image$"):
            fetch_for_user(parse_link(web.url("/none")), MIB)
