"""Work beside the requests that fails for any reason: it begins anew, and the log says so."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import Mock

import pytest

from service import upkeep
from service.api import app as application
from service.api import uploaded_images
from service.api.image_store import ImageStore
from service.api.uploaded_images import UploadedImages
from service.configuration.settings import Settings
from service.dispatch import queue as dispatch
from service.dispatch.queue import RequestQueue
from service.metrics.service_metrics import Metrics
from service.upkeep import keep_up
from tests.support.decoders import until


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_PAUSE_S", "LONGEST_PAUSE_S"):
        monkeypatch.setattr(upkeep, name, 0.001)


class Work:
    """Work that fails for some times, and then goes on until it is cancelled."""

    def __init__(self, failures: int) -> None:
        self.failures, self.begun = failures, 0

    async def do(self) -> None:
        self.begun += 1
        if self.begun <= self.failures:
            raise RuntimeError("can't start new thread")
        await asyncio.Event().wait()


def test_work_that_fails_begins_anew_and_the_log_has_why(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        work = Work(failures=3)
        task = asyncio.create_task(keep_up("the watch", work.do))
        await until(lambda: work.begun == 4)
        assert not task.done()
        task.cancel()

    asyncio.run(scenario())
    assert caplog.text.count("the watch failed; it begins anew in 0 s") == 3
    assert caplog.text.count("RuntimeError: can't start new thread") == 3


@pytest.mark.parametrize("failures", [0, 10**9], ids=["at work", "between two attempts"])
def test_upkeep_ends_when_it_is_cancelled(failures: int) -> None:
    async def scenario() -> None:
        work = Work(failures)
        task = asyncio.create_task(keep_up("the watch", work.do))
        await until(lambda: work.begun)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 30)

    asyncio.run(scenario())


def test_work_that_returns_is_done() -> None:
    async def nothing() -> None:
        return

    asyncio.run(asyncio.wait_for(keep_up("the watch", nothing), 30))


def test_pauses_grow_up_to_a_bound_and_are_short_again_after_work_that_lasted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "FIRST_PAUSE_S", 1.0)
    monkeypatch.setattr(upkeep, "LONGEST_PAUSE_S", 4.0)
    clock, pauses, lasts = Mock(return_value=0.0), list[float](), iter([0.0, 0.0, 0.0, 0.0, 9.0])

    async def work() -> None:
        took_s = next(lasts, None)
        if took_s is None:
            return
        clock.return_value += took_s
        raise ValueError("odd")

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(upkeep, "time", Mock(monotonic=clock))
    monkeypatch.setattr(upkeep, "asyncio", Mock(sleep=sleep))
    asyncio.run(keep_up("the watch", work))
    assert pauses == [1.0, 2.0, 4.0, 4.0, 1.0]


def test_images_in_memory_go_on_expiring_though_the_tidying_of_their_folder_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uploaded_images, "SWEEP_S", 0.001)

    async def scenario() -> None:
        memory = Mock(ImageStore)
        memory.names.side_effect = KeyError("odd")
        memory.drop_expired.side_effect = [ValueError("odd"), *[False] * 10**4]
        images = UploadedImages(memory, Mock(place=None), Metrics(), Mock(), Mock())
        task = asyncio.create_task(images.keep_tidy())
        await until(lambda: memory.drop_expired.call_count > 3 and memory.names.call_count > 3)
        assert not task.done()
        task.cancel()

    asyncio.run(scenario())


def test_each_worker_is_watched_though_the_watch_of_another_and_of_the_gpus_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatch, "WATCH_S", 0.001)
    watch_gpus = Mock(side_effect=RuntimeError("can't start new thread"))
    monkeypatch.setattr(dispatch, "watch_gpus", watch_gpus)
    asked: dict[int, Mock] = {}

    def supervise(settings: Settings, number: int, *_: Any) -> Any:
        asked[number] = Mock(side_effect=OSError("odd") if number == 0 else None)
        return Mock(kill_if_stuck=asked[number], labels=(str(number), "cpu"), card=None, tokenizer=None, stop=stop)

    async def stop() -> None:
        return

    async def scenario() -> None:
        queue = RequestQueue(Settings(devices="cpu,cpu"), Metrics(), supervise)
        await queue.start()
        await until(lambda: all(each.call_count > 3 for each in asked.values()) and watch_gpus.call_count > 3)
        await queue.stop()

    asyncio.run(scenario())


def test_the_service_goes_on_returning_memory_and_watching_its_keys_after_failures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(application, "TRIM_S", 0.001)
    returned = Mock(side_effect=MemoryError("odd"))
    monkeypatch.setattr(application, "return_freed_memory", returned)
    keys = Work(failures=3)
    parts = Mock()
    for each in (parts.queue.start, parts.queue.stop, parts.decoders.stop, parts.images.keep_tidy):
        each.side_effect = nothing

    async def scenario() -> None:
        async with application._lifespan(parts, keys.do, None, Mock()):
            await until(lambda: keys.begun == 4 and returned.call_count > 3)

    asyncio.run(scenario())


async def nothing() -> None:
    """Do what a part does in no time."""
