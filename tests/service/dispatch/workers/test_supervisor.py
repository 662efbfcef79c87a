"""Workers that die, with the requests they have: by real signals, while they work, wait and load; and poison."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from unittest.mock import AsyncMock, Mock
from uuid import uuid4

import pytest

from model.request import Sampling
from service.configuration.settings import Settings
from service.dispatch.queue import RequestQueue
from service.dispatch.reservation import AcceptedRow, Reservation
from service.dispatch.workers.supervisor import WorkerSupervisor
from service.dispatch.workers.worker_handle import WorkerProcess
from service.errors import Poisoned
from service.messages.from_worker import Broken, Delta, Ready, StepDone
from service.messages.rows import Row
from service.metrics.service_metrics import Metrics
from tests.support import deadly
from tests.support.queueing import (
    CASES,
    FOLDER,
    IMAGES,
    LONG,
    RAMBLING,
    answer,
    go,
    kill,
    pid,
    rows,
    running_queue,
    spec,
    until,
    value,
)


def test_answers_survive_every_death_behind_which_they_went_on() -> None:
    async def scenario() -> None:
        async with running_queue(model=RAMBLING) as queue:
            seeds = (2, 4, 6, 7)  # of answers that go on far beyond the last death
            crowd = [(CASES[seed], spec(CASES[seed], **LONG, temperature=1.0, seed=seed)) for seed in seeds]
            undisturbed = await asyncio.gather(*(answer(queue, case, asked) for case, asked in crowd))
            tasks = [asyncio.create_task(answer(queue, case, asked)) for case, asked in crowd]
            for tokens in (20, 60, 100):
                await until(lambda: sum(len(row.tokens) > tokens for row in rows(queue)) == 4)  # noqa: B023
                kill(queue)
                await until(lambda: queue.not_ready() is not None)
            assert await asyncio.gather(*tasks) == undisturbed
            assert value(queue, "worker_restarts") == 3
            assert value(queue, "request_replays") == 12
            assert value(queue, "requests_dropped", reason="poison") == 0

    go(scenario)


def test_after_a_death_all_that_were_being_answered_go_on_together() -> None:
    async def scenario() -> None:
        async with running_queue(model=RAMBLING) as queue:
            tasks = [asyncio.create_task(answer(queue, CASES[1], spec(CASES[1], **LONG))) for _ in range(8)]
            await until(lambda: len(rows(queue)) == 8 and all(row.tokens for row in rows(queue)))
            kill(queue)
            await until(lambda: queue.not_ready() is not None)
            await until(lambda: sum(row.admitted for row in rows(queue)) == 8)
            assert not any(task.done() for task in tasks)
            assert len(set(await asyncio.gather(*tasks))) == 1

    go(scenario)


def test_who_was_being_answered_does_not_queue_again_behind_those_who_came_later() -> None:
    async def scenario() -> None:
        async with running_queue(model=RAMBLING, slots=2) as queue:
            ended: list[str] = []

            async def ask(name: str, tokens: int) -> None:
                await answer(queue, CASES[1], spec(CASES[1], max_tokens=tokens, temperature=1.0, seed=1))
                ended.append(name)

            tasks = [asyncio.create_task(ask("old", 200)) for _ in range(2)]
            await until(lambda: sum(bool(row.tokens) for row in rows(queue)) == 2)
            tasks += [asyncio.create_task(ask("new", 50)) for _ in range(20)]
            await until(lambda: len(rows(queue)) == 22)
            kill(queue)
            await asyncio.gather(*tasks)
            assert "old" not in ended[-10:]

    go(scenario)


def test_who_only_waited_when_the_worker_died_is_not_suspected_though_its_image_was_encoded() -> None:
    async def scenario() -> None:
        async with running_queue(model=RAMBLING, slots=2) as queue:
            crowd = {case["image"]: case for case in CASES}.values()  # no two about the same image
            tasks = [asyncio.create_task(answer(queue, case, spec(case, **LONG))) for case in crowd]
            await until(lambda: sum(len(row.tokens) > 20 for row in rows(queue)) == 2)
            kill(queue)
            await until(lambda: queue.not_ready() is not None)
            assert sum(row.poison.deaths for row in queue._pending) == 2
            await asyncio.gather(*tasks)

    go(scenario)


def test_after_a_death_the_oldest_come_first_whether_they_were_with_the_worker_or_waited() -> None:
    async def scenario() -> None:
        queue = RequestQueue(Settings(), Metrics())
        old, young = Reservation(queue, 1, 60.0), Reservation(queue, 1, 60.0)
        row = spec(CASES[0])
        waited, lost = (AcceptedRow(row, IMAGES[CASES[0]["image"], 28], each, 0) for each in (old, young))
        queue._pending = [waited]
        queue._worker_changed(queue.workers.supervisors[0], [lost])
        assert queue._pending == [waited, lost]

    go(scenario)


def test_beside_a_request_in_quarantine_nobody_is_given_to_its_worker() -> None:
    async def scenario() -> None:
        queue = RequestQueue(Settings(), Metrics())
        supervisor = queue.workers.supervisors[0]
        supervisor.card, supervisor._worker = Mock(slots=8), Mock()
        picture = IMAGES[CASES[0]["image"], 28]
        crowd = [
            AcceptedRow(replace(spec(CASES[0]), id=name), picture, Reservation(queue, 1, 60.0), 0)
            for name in ("a", "b", "fresh")
        ]
        for row in crowd[:2]:
            row.poison.worker_died(0)
            row.poison.worker_died(0)
        queue._pending = crowd
        queue._dispatch()
        assert list(supervisor.rows) == ["a"]
        assert supervisor._worker.send.call_args.args[0].ahead
        queue._step_done(supervisor, StepDone((Delta("a", (1,), ""),)))
        assert list(supervisor.rows) == ["a"], "one token more is the replay's"
        queue._step_done(supervisor, StepDone((Delta("a", (2,), ""),)))
        assert list(supervisor.rows) == ["a", "b"], "now it is past the place"
        queue._step_done(supervisor, StepDone((Broken("b", "not finite"),)))
        assert list(supervisor.rows) == ["a", "fresh"]
        assert not supervisor._worker.send.call_args.args[0].ahead

    go(scenario)


@pytest.mark.parametrize("words", [deadly.TAKING_UP, deadly.OPENING, deadly.PREFILL, deadly.DECODE])
def test_a_request_that_kills_its_workers_is_answered_with_an_error_and_its_neighbours_live(
    words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with running_queue(model=RAMBLING) as queue:
            crowd = [(case, spec(case, **LONG, temperature=1.0, seed=number)) for number, case in enumerate(CASES[:6])]
            undisturbed = await asyncio.gather(*(answer(queue, case, asked) for case, asked in crowd))
            tasks = [asyncio.create_task(answer(queue, case, asked)) for case, asked in crowd]
            await until(lambda: len(rows(queue)) == 6 and all(row.tokens for row in rows(queue)))
            with pytest.raises(Poisoned, match="3 workers died"):
                await answer(queue, CASES[7], Row(uuid4().hex, words, Sampling(**LONG, temperature=1.0, seed=1)))
            assert value(queue, "worker_restarts") == 3
            assert await asyncio.gather(*tasks) == undisturbed
            assert value(queue, "requests_dropped", reason="poison") == 1

    monkeypatch.setattr("service.dispatch.workers.worker_handle.run", deadly.run)
    go(scenario)


def test_a_worker_that_was_ready_is_replaced_without_a_pause_however_often(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with running_queue() as queue:
            for _ in range(4):
                kill(queue)
                await until(lambda: queue.not_ready() is not None)
                await until(lambda: queue.not_ready() is None)

    go(scenario)
    ends = [record.message for record in caplog.records if "ended with code" in record.message]
    told = r"worker 0 on auto \(process \d+\) ended with code -9 while it had 0 requests; next start in 0 s"
    assert all(re.fullmatch(told, each) for each in ends[:4])


def test_a_worker_killed_while_it_loads_is_followed_by_another_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with running_queue(model=RAMBLING) as queue:
            begun: list[int] = []
            expected = await answer(queue, CASES[1], spec(CASES[1], **LONG))
            running = asyncio.create_task(answer(queue, CASES[1], spec(CASES[1], **LONG), begun))
            await until(lambda: bool(begun))
            victims = set()
            for _ in range(3):
                await until(lambda: queue.workers.supervisors[0].pid not in {None, *victims})
                victims.add(pid(queue))
                kill(queue)
            assert await running == expected
            assert len(victims) == value(queue, "worker_restarts") == 3
            assert value(queue, "request_replays") == 1

    monkeypatch.setattr("service.dispatch.workers.supervisor.LONGEST_PAUSE_S", 0.0)
    go(scenario)


def test_a_model_that_is_away_when_a_worker_must_be_replaced_is_awaited(tmp_path: Path) -> None:
    async def scenario() -> None:
        model, away = tmp_path / "model", tmp_path / "away"
        shutil.copytree(FOLDER, model)
        async with running_queue(model=str(model)) as queue:
            model.rename(away)
            kill(queue)
            await until(lambda: value(queue, "worker_restarts") == 2)
            away.rename(model)
            await until(lambda: queue.not_ready() is None)
            assert (await answer(queue, CASES[0], spec(CASES[0]))).lstrip() == CASES[0]["answer"]
            assert not queue.failed.is_set()

    go(scenario)


def test_workers_that_never_get_ready_are_not_started_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        queue = RequestQueue(Settings(model=RAMBLING), Metrics())
        await queue.start()
        async with asyncio.timeout(60):
            await queue.failed.wait()
        assert queue.failure.startswith("5 workers died while they loaded it")
        assert value(queue, "worker_restarts") == 5
        await queue.stop()

    monkeypatch.setattr("service.dispatch.workers.worker_handle.run", deadly.never_ready)
    monkeypatch.setattr("service.dispatch.workers.supervisor.LONGEST_PAUSE_S", 0.0)
    go(scenario)


@pytest.mark.parametrize(
    ("what", "error"),
    [
        pytest.param("multiprocessing.process.BaseProcess.start", OSError("no memory"), id="process"),
        pytest.param("threading.Thread.start", RuntimeError("can't start new thread"), id="thread"),
    ],
)
def test_a_machine_without_room_for_a_worker_is_asked_again(
    what: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with running_queue() as queue:
            with monkeypatch.context() as machine:
                machine.setattr(what, Mock(side_effect=error))
                kill(queue)
                await until(lambda: value(queue, "worker_restarts") == 2)
                assert queue.workers.supervisors[0].pid is None
            await until(lambda: queue.not_ready() is None)
            assert (await answer(queue, CASES[0], spec(CASES[0]))).lstrip() == CASES[0]["answer"]

    go(scenario)


def test_a_worker_that_hangs_while_it_replaces_another_is_replaced_too() -> None:
    async def scenario() -> None:
        async with running_queue(step_timeout_s=2.0) as queue:
            kill(queue)
            await until(lambda: value(queue, "worker_restarts") == 1 and queue.workers.supervisors[0].pid is not None)
            os.kill(pid(queue), signal.SIGSTOP)
            assert queue.not_ready() is not None
            await until(lambda: queue.not_ready() is None)
            assert value(queue, "worker_restarts") == 2

    go(scenario)


@pytest.mark.parametrize(
    ("failed_starts", "quiet_s", "killed"),
    [(0, 5.0, True), (1, 7.0, False), (1, 9.0, True), (4, 60.0, False), (99, 590.0, False), (99, 610.0, True)],
)
def test_a_successor_has_twice_the_time_of_the_one_that_was_killed_before_it(
    failed_starts: int, quiet_s: float, killed: bool
) -> None:
    supervisor = WorkerSupervisor(Settings(), 0, "cpu", Mock(), Mock(), Mock())
    supervisor._worker, supervisor._load_s, supervisor._failed_starts = Mock(), 0.2, failed_starts
    supervisor._progress_s -= quiet_s
    supervisor.kill_if_stuck(4.0)
    assert supervisor._worker.kill.called is killed


def test_what_a_start_took_counts_with_the_imports_in_it() -> None:
    supervisor = WorkerSupervisor(Settings(), 0, "cpu", Mock(), Mock(), Mock())
    supervisor._started_s -= 30.0
    supervisor._message(Ready(Mock(memory=()), Mock(), 0.2))
    supervisor._worker, supervisor.card = Mock(), None
    supervisor._progress_s -= 140.0
    supervisor.kill_if_stuck(4.0)
    assert not supervisor._worker.kill.called
    supervisor._progress_s -= 20.0
    supervisor.kill_if_stuck(4.0)
    assert supervisor._worker.kill.called


def test_stopping_does_not_wait_for_a_worker_that_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        queue = RequestQueue(Settings(model=RAMBLING), Metrics())
        await queue.start()
        child = pid(queue)
        os.kill(child, signal.SIGSTOP)  # or it might be ready before it is asked to stop
        async with asyncio.timeout(60):
            await queue.stop()
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)

    monkeypatch.setattr("service.dispatch.workers.worker_handle.STOP_S", 90.0)
    go(scenario)


def test_what_takes_how_much_of_a_gpu_is_logged_line_by_line_when_a_worker_is_ready(
    caplog: pytest.LogCaptureFixture,
) -> None:
    supervisor = WorkerSupervisor(Settings(), 0, "cuda:0", Mock(), Mock(), Mock())
    with caplog.at_level(logging.INFO, "pheye.supervisor"):
        supervisor._message(Ready(Mock(memory=("6.05 GiB  weights", "1.83 GiB  workspace")), Mock(), 1.0))
    assert [record.getMessage() for record in caplog.records][1:] == [
        "memory of cuda:0: 6.05 GiB  weights",
        "memory of cuda:0: 1.83 GiB  workspace",
    ]


def test_a_worker_is_ended_though_no_thread_can_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "to_thread", AsyncMock(side_effect=RuntimeError("can't start new thread")))
    worker = WorkerProcess.__new__(WorkerProcess)
    worker._process, worker._outbox = Mock(), Mock()
    asyncio.run(worker.stop())
    worker._process.kill.assert_called_once_with()
