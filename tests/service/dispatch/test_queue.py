"""The queue with real worker processes: admission, replay after a real SIGKILL, drain, watch."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from service.configuration.settings import Settings
from service.dispatch.queue import RequestQueue
from service.errors import DeadlineExceeded, InvalidField, Unavailable, WaitingRoomFull
from service.messages.from_worker import Delta, Finished
from service.metrics.service_metrics import Metrics
from tests.support.queueing import (
    CASES,
    IMAGES,
    LONG,
    RAMBLING,
    answer,
    go,
    kill,
    pid,
    running_queue,
    spec,
    until,
    value,
)


def test_all_golden_cases_at_once_are_answered_and_leave_nothing_behind() -> None:
    async def scenario() -> None:
        async with running_queue() as queue:
            texts = await asyncio.gather(*(answer(queue, case, spec(case)) for case in CASES))
            assert [text.lstrip() for text in texts] == [case["answer"] for case in CASES]
            assert not queue._waiting()
            assert not queue.workers.supervisors[0].rows
            assert value(queue, "slots_used") == 0

    go(scenario)


def test_a_worker_killed_in_the_middle_of_eight_answers_costs_a_pause_and_no_answer() -> None:
    async def scenario() -> None:
        async with running_queue(model=RAMBLING) as queue:
            crowd = [
                (case, spec(case, **LONG, **({"temperature": 1.0, "seed": number} if number % 2 else {})))
                for number, case in enumerate(CASES[:8])
            ]
            undisturbed = await asyncio.gather(*(answer(queue, case, asked) for case, asked in crowd))
            started: list[list[int]] = [[] for _ in crowd]
            tasks = [
                asyncio.create_task(answer(queue, case, asked, begun))
                for (case, asked), begun in zip(crowd, started, strict=True)
            ]
            await until(lambda: all(started))
            assert not any(task.done() for task in tasks)
            victim, replayed = pid(queue), [*queue.workers.rows]
            kill(queue)
            away: list[float] = []  # moments without a worker
            await until(lambda: queue.not_ready() is not None)
            await until(lambda: queue.not_ready() is None or bool(away.append(time.monotonic())))  # type: ignore[func-returns-value]
            assert await asyncio.gather(*tasks) == undisturbed
            assert value(queue, "worker_restarts") == 1
            assert value(queue, "request_replays") == 8
            assert pid(queue) != victim
            elsewhere_s = [row.wait.elsewhere_s for row in replayed]
            assert min(elsewhere_s) >= away[-1] - away[0]

    go(scenario)


def test_the_waiting_room_refuses_what_it_cannot_hold_and_says_when_to_come_back() -> None:
    async def scenario() -> None:
        async with running_queue(max_waiting=2, slots=1) as queue:
            with queue.reserve(2):
                with pytest.raises(WaitingRoomFull) as refused:
                    queue.reserve(1)
                assert refused.value.retry_after_s
                assert value(queue, "requests_dropped", reason="full") == 1
            with queue.reserve(1):
                pass

    go(scenario)


def test_leaving_early_frees_the_slot_for_the_next() -> None:
    async def scenario() -> None:
        async with running_queue(slots=1, model=RAMBLING) as queue:
            case = CASES[1]
            with queue.reserve(1) as reservation:
                reservation.submit(IMAGES[case["image"], 64], [spec(case, **LONG)])
                async for _, event in reservation.events():
                    assert isinstance(event, Delta)
                    break
            assert await answer(queue, case, spec(case))
            await until(lambda: value(queue, "slots_used") == 0)

    go(scenario)


def test_an_answer_that_takes_too_long_is_given_up_at_its_deadline() -> None:
    async def scenario() -> None:
        async with running_queue(deadline_s=0.1, model=RAMBLING) as queue:
            with pytest.raises(DeadlineExceeded, match=r"0\.1 s"):
                await answer(queue, CASES[1], spec(CASES[1], **LONG))
            assert value(queue, "requests_dropped", reason="deadline") == 1
            await until(lambda: value(queue, "slots_used") == 0)

    go(scenario)


def test_a_prompt_without_room_for_its_answer_is_refused_with_the_field() -> None:
    async def scenario() -> None:
        async with running_queue(model=RAMBLING) as queue:
            with pytest.raises(InvalidField, match=r"settings\.max_tokens"):
                await answer(queue, CASES[0], spec(CASES[0], max_tokens=1000))

    go(scenario)


def test_draining_finishes_what_runs_and_takes_nothing_new() -> None:
    async def scenario() -> None:
        async with running_queue(model=RAMBLING) as queue:
            case, begun = CASES[1], []
            running = asyncio.create_task(answer(queue, case, spec(case, max_tokens=100), begun))
            await until(lambda: bool(begun))
            drained = asyncio.create_task(queue.drain(30.0))
            await asyncio.sleep(0)
            with pytest.raises(Unavailable, match="shutting down"):
                queue.reserve(1)
            assert await running
            await drained

    go(scenario)


def test_what_is_not_done_after_the_grace_period_gets_an_error() -> None:
    async def scenario() -> None:
        async with running_queue(model=RAMBLING) as queue:
            case, begun = CASES[1], []
            running = asyncio.create_task(answer(queue, case, spec(case, **LONG), begun))
            await until(lambda: bool(begun))
            await queue.drain(0.0)
            with pytest.raises(Unavailable):
                await running

    go(scenario)


def test_a_worker_that_makes_no_progress_is_killed_and_its_requests_are_replayed() -> None:
    async def scenario() -> None:
        async with running_queue(step_timeout_s=3.0, model=RAMBLING) as queue:
            case, begun = CASES[1], []
            expected = await answer(queue, case, spec(case, **LONG))
            running = asyncio.create_task(answer(queue, case, spec(case, **LONG), begun))
            await until(lambda: bool(begun))
            os.kill(pid(queue), signal.SIGSTOP)
            assert await running == expected
            assert value(queue, "worker_restarts") == 1

    go(scenario)


def test_two_workers_share_the_load_and_one_survives_the_other() -> None:
    async def scenario() -> None:
        async with running_queue(devices="cpu,cpu", slots=2) as queue:
            await until(lambda: all(supervisor.card for supervisor in queue.workers.supervisors))
            tasks = [asyncio.create_task(answer(queue, case, spec(case))) for case in CASES]
            await until(lambda: all(supervisor.rows for supervisor in queue.workers.supervisors))
            kill(queue)
            assert [text.lstrip() for text in await asyncio.gather(*tasks)] == [case["answer"] for case in CASES]
            assert queue.not_ready() is None

    go(scenario)


def test_a_model_that_cannot_be_loaded_fails_once_and_says_why() -> None:
    async def scenario() -> None:
        queue = RequestQueue(Settings(model="no/such/model/anywhere"), Metrics())
        await queue.start()
        async with asyncio.timeout(60):
            await queue.failed.wait()
        assert "neither a folder nor a hub repository id" in queue.failure
        with pytest.raises(Unavailable, match="cannot be loaded"):
            queue.reserve(1)
        await queue.stop()
        assert value(queue, "worker_restarts") == 0

    go(scenario)


def test_questions_of_one_place_share_one_encoding() -> None:
    async def scenario() -> None:
        async with running_queue() as queue:
            with queue.reserve(3) as reservation:
                reservation.submit(IMAGES[CASES[0]["image"], 28], [spec(case) for case in CASES[:3]])
                texts, usages = ["", "", ""], {}
                async for index, event in reservation.events():
                    texts[index] += event.text
                    if isinstance(event, Finished):
                        usages[index] = event.usage
            assert [text.lstrip() for text in texts] == [case["answer"] for case in CASES[:3]]
            assert value(queue, "encoded_tiles") == 5
            assert [usages[index].image_features_cached for index in range(3)] == [False, True, True]

    go(scenario)


def test_a_worker_killed_in_the_middle_of_an_answer_changes_no_log_probability() -> None:
    async def told(queue: RequestQueue, number: int, heard: list[float]) -> tuple[list[float], int]:
        case, sampled = CASES[number], {"temperature": 1.0, "seed": number} if number % 2 else {}
        shown = 0
        with queue.reserve(1) as reservation:
            reservation.submit(IMAGES[case["image"], 64], [spec(case, **LONG, **sampled)])
            async for _, event in reservation.events():
                shown = event.shown_tokens
                if isinstance(event, Delta):
                    heard += [each.logprob for each in event.logprobs]
        return heard, shown

    async def scenario() -> None:
        async with running_queue(model=RAMBLING) as queue:
            undisturbed = await asyncio.gather(*(told(queue, number, []) for number in range(4)))
            heard: list[list[float]] = [[] for _ in range(4)]
            tasks = [asyncio.create_task(told(queue, number, each)) for number, each in enumerate(heard)]
            await until(lambda: all(heard))
            kill(queue)
            for (logprobs, shown), (expected, expected_shown) in zip(
                await asyncio.gather(*tasks), undisturbed, strict=True
            ):
                assert logprobs == pytest.approx(expected, abs=1e-4)
                assert shown == expected_shown
            assert value(queue, "worker_restarts") == 1

    go(scenario)
