"""The order in which workers start, and which of them is given a row."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from unittest.mock import Mock, call

import pytest

from service.configuration.settings import Settings
from service.dispatch.reservation import AcceptedRow, Reservation
from service.dispatch.workers import worker_pool
from service.dispatch.workers.worker_pool import WorkerPool
from service.messages.to_worker import OthersIdle, Prefetch
from tests.support.queueing import CASES, IMAGES, spec


class Started:
    """What stands for a supervisor: it knows whether it was started."""

    def __init__(self, _settings: Settings, number: int, device: str, *_callbacks: Any) -> None:
        self.number, self.device, self.card, self.started = number, device, None, False
        self.tokenizer: object = None

    def start(self) -> None:
        self.started = True

    def kill(self) -> None:
        pass


def pool_of(devices: str) -> WorkerPool:
    return WorkerPool(Settings(devices=devices), *[lambda *_: None] * 3, Started)  # type: ignore[arg-type]


def started(pool: WorkerPool) -> list[bool]:
    return [each.started for each in pool.supervisors]  # type: ignore[attr-defined]


async def soon(pool: WorkerPool, expected: list[bool]) -> None:
    async with asyncio.timeout(20):
        while started(pool) != expected:  # noqa: ASYNC110 - the pool has no event for it
            await asyncio.sleep(0.01)


def test_on_cpus_the_others_start_when_the_first_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(worker_pool, "HEAD_START_S", 3600.0)
        pool = pool_of("cpu,cpu,cpu")
        pool.start()
        assert started(pool) == [True, False, False]
        pool.supervisors[0].card = pool.supervisors[0].tokenizer = object()  # type: ignore[assignment]
        pool._start_others(pool.supervisors[1:], at_latest=1e12)
        assert started(pool) == [True, True, True]
        # A worker that knows the tokenizer takes a failed load for a passing one, and does not end the service.
        assert len({each.tokenizer for each in pool.supervisors}) == 1

    asyncio.run(scenario())


def test_a_first_worker_that_does_not_get_ready_holds_the_others_up_for_a_while_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(worker_pool, "HEAD_START_S", 0.1)
        pool = pool_of("cpu,cpu")
        pool.start()
        await soon(pool, [True, True])

    asyncio.run(scenario())


def test_gpus_share_no_cores_and_their_workers_start_together() -> None:
    async def scenario() -> None:
        pool = pool_of("cuda:0,cuda:1")
        pool.start()
        assert started(pool) == [True, True]

    asyncio.run(scenario())


def test_a_pool_that_ends_meanwhile_starts_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(worker_pool, "HEAD_START_S", 0.1)
        pool = pool_of("cpu,cpu")
        pool.start()
        pool.kill()
        await asyncio.sleep(0.3)
        assert started(pool) == [True, False]

    asyncio.run(scenario())


def test_workers_are_told_when_no_other_has_any_row_and_only_when_that_changes() -> None:
    pool = WorkerPool(Settings(devices="cpu,cpu"), *[lambda *_: None] * 3)
    one, other = pool.supervisors
    one._worker, other._worker = Mock(), Mock()
    row: Any = Mock()
    one.rows["a"] = row
    pool.hand_out([])
    pool.hand_out([])
    other.rows["b"] = row
    pool.hand_out([])
    del one.rows["a"]
    pool.hand_out([])
    assert one._worker.send.mock_calls == [call(OthersIdle(True)), call(OthersIdle(False))]
    assert other._worker.send.mock_calls == [call(OthersIdle(True))]
    one.kill()
    one._exited(None)  # the next process knows nothing
    one._worker, one.rows["c"] = Mock(), row
    del other.rows["b"]
    pool.hand_out([])
    assert one._worker.send.mock_calls == [call(OthersIdle(True))]


def test_workers_that_share_no_cores_are_told_nothing_of_each_other() -> None:
    pool = WorkerPool(Settings(devices="cuda:0,cuda:1"), *[lambda *_: None] * 3)
    pool.supervisors[0]._worker = sent = Mock()
    pool.supervisors[0].rows["a"] = Mock()
    pool.hand_out([])
    assert not sent.send.mock_calls


def in_quarantine(name: str) -> AcceptedRow:
    picture = IMAGES[CASES[0]["image"], 28]
    row = AcceptedRow(replace(spec(CASES[0]), id=name), picture, Reservation(Mock(), 1, 60.0), 0)
    row.poison.worker_died(0)
    row.poison.worker_died(0)
    assert row.quarantined
    return row


def test_a_row_in_quarantine_waits_for_a_worker_without_rows_that_is_there_or_comes() -> None:
    pool, row = WorkerPool(Settings(devices="cpu,cpu"), *[lambda *_: None] * 3), in_quarantine("a")
    busy, other = pool.supervisors
    busy.card, busy._worker, busy.rows = Mock(slots=8), Mock(), {"b": Mock()}
    assert pool.hand_out([row]) == [row], "the other is being loaded"
    other.card, other._worker = Mock(slots=8), Mock()
    assert pool.hand_out([row]) == []
    assert list(other.rows) == ["a"]


def test_a_row_in_quarantine_does_not_wait_for_a_worker_that_cannot_load() -> None:
    async def scenario() -> None:
        pool, row = WorkerPool(Settings(devices="cpu,cpu"), *[lambda *_: None] * 3), in_quarantine("a")
        busy, other = pool.supervisors
        busy.card, busy._worker, busy.rows = Mock(slots=8), Mock(), {"b": Mock()}
        other._exited(1)
        assert pool.hand_out([row]) == []
        assert list(busy.rows) == ["b", "a"]
        pool.kill()

    asyncio.run(scenario())


def test_a_second_row_in_quarantine_waits_for_the_end_of_the_first_one_and_joins_no_busy_worker() -> None:
    """A worker that its neighbours end would be its third death."""
    pool, first, second = (
        WorkerPool(Settings(devices="cpu,cpu"), *[lambda *_: None] * 3),
        in_quarantine("a"),
        in_quarantine("b"),
    )
    empty, busy = pool.supervisors
    for worker in (empty, busy):
        worker.card, worker._worker = Mock(slots=8), Mock()
    busy.rows = {"c": Mock()}
    assert pool.hand_out([first, second]) == [second]
    del empty.rows["a"]
    assert pool.hand_out([second]) == []
    assert list(empty.rows) == ["b"]
    assert list(busy.rows) == ["c"]


def test_no_image_is_encoded_ahead_beside_a_row_in_quarantine() -> None:
    """The row would be blamed if the image ended their worker, and nobody asks about the image yet."""
    pool, row, picture = (
        WorkerPool(Settings(devices="cpu,cpu"), *[lambda *_: None] * 3),
        in_quarantine("a"),
        IMAGES[CASES[0]["image"], 28],
    )
    alone, other = pool.supervisors
    alone.card, alone._worker = Mock(slots=8), Mock()
    assert pool.hand_out([row]) == []
    alone._worker.send.reset_mock()
    pool.prefetch(picture)
    other.card, other._worker, other.rows = Mock(slots=8), Mock(), {str(each): Mock() for each in range(20)}
    pool.prefetch(picture)
    assert not alone._worker.send.mock_calls
    assert other._worker.send.mock_calls == [call(Prefetch(picture))]


class Elsewhere(Started):
    """What stands for workers that run elsewhere, and keeps to itself what it does with rows."""

    holds_quarantined = False

    def __init__(self, *rest: Any) -> None:
        super().__init__(*rest)
        self.card, self.rows = Mock(slots=8), {}  # type: ignore[assignment]

    def cost(self, _image: object) -> float:
        return 0.0

    def give(self, rows: Iterable[AcceptedRow]) -> None:
        self.rows = {row.id: row for row in rows}


def test_the_wait_for_a_worker_ends_whoever_stands_for_workers() -> None:
    pool = WorkerPool(Settings(devices="cpu"), *[lambda *_: None] * 3, Elsewhere)  # type: ignore[arg-type]
    row = AcceptedRow(spec(CASES[0]), IMAGES[CASES[0]["image"], 28], Reservation(Mock(), 1, 60.0), 0)
    assert pool.hand_out([row]) == []
    assert row.wait.elsewhere_s > 0.0
