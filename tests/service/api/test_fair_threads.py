"""Threads that clients share: nobody has all of them, and what nobody waits for any more does not begin."""

from __future__ import annotations

import asyncio
import threading

import pytest

from service.api.fair_threads import FairThreads


def test_a_client_with_much_to_do_leaves_a_thread_to_others() -> None:
    async def scenario() -> None:
        threads, go_on = FairThreads(2, "tested"), threading.Event()
        greedy = [asyncio.create_task(threads.run("greedy", go_on.wait)) for _ in range(10)]
        await asyncio.sleep(0)
        assert [await threads.run(client, lambda: 3) for client in ("a", "b", "a")] == [3, 3, 3]
        assert not any(task.done() for task in greedy)
        go_on.set()
        assert await asyncio.gather(*greedy) == [True] * 10
        threads.shutdown()

    asyncio.run(scenario())


def test_work_that_its_caller_gave_up_counts_until_it_ends_and_waiting_work_never_begins() -> None:
    async def scenario() -> None:
        threads, go_on, begun = FairThreads(1, "tested"), threading.Event(), list[str]()
        running, waiting = (
            asyncio.create_task(threads.run("a", work)) for work in (go_on.wait, lambda: begun.append("waiting"))
        )
        await asyncio.sleep(0)
        for task in (running, waiting):
            task.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)
        assert threads._slots.held == 1
        go_on.set()
        assert await threads.run("b", lambda: 5) == 5
        assert begun == []
        threads.shutdown()

    asyncio.run(scenario())


def test_what_work_raises_is_raised_and_nothing_begins_after_the_end() -> None:
    async def scenario() -> None:
        threads = FairThreads(1, "tested")
        with pytest.raises(ZeroDivisionError):
            await threads.run("a", lambda: 1 // 0)
        threads.shutdown()
        for _ in range(2):
            with pytest.raises(RuntimeError, match="shutdown"):
                await threads.run("a", lambda: 1)

    asyncio.run(scenario())
