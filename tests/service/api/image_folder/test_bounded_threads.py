"""File operations that hang: bounded in number and in time, and no client's hold up another's."""

from __future__ import annotations

import asyncio
import threading

import pytest

from service.api.image_folder.bounded_threads import BoundedThreads


async def settled(condition) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not so")


def test_operations_that_hang_are_given_up_and_the_next_ones_refused_at_once_until_one_ends() -> None:
    async def scenario() -> None:
        threads, hung = BoundedThreads(2, 0.05), threading.Event()
        assert await threads.run("a", lambda: 1) == 1
        with pytest.raises(OSError, match="no disk"):
            await threads.run("a", lambda: (_ for _ in ()).throw(OSError("no disk")))
        for client in ("a", "b"):
            with pytest.raises(TimeoutError):
                await threads.run(client, hung.wait)
        threads._limit_s = 60.0
        with pytest.raises(TimeoutError, match="no operation ends"):
            await threads.run("c", lambda: 1)
        hung.set()
        await settled(lambda: threads._overdue == 0)
        assert await threads.run("c", lambda: 2) == 2

    asyncio.run(scenario())


def test_a_client_whose_operations_hang_leaves_a_thread_to_others() -> None:
    async def scenario() -> None:
        threads, hung = BoundedThreads(4, 60.0), threading.Event()
        stuck = [asyncio.create_task(threads.run("greedy", hung.wait)) for _ in range(10)]
        await asyncio.sleep(0)
        assert await threads.run("other", lambda: 3) == 3
        for task in stuck[5:]:
            task.cancel()
        hung.set()
        done = await asyncio.gather(*stuck, return_exceptions=True)
        assert done[:5] == [True] * 5
        assert await asyncio.gather(*(threads.run("greedy", lambda: 4) for _ in range(8))) == [4] * 8

    asyncio.run(scenario())


def test_an_operation_that_ends_just_as_its_caller_gives_up_is_not_taken_for_one_that_hangs() -> None:
    async def scenario() -> None:
        threads, others = BoundedThreads(1, 60.0), set(threading.enumerate())
        for _ in range(2):
            release = threading.Event()
            running = asyncio.create_task(threads.run("a", release.wait))
            await settled(lambda: set(threading.enumerate()) - others)
            release.set()
            for thread in set(threading.enumerate()) - others:
                thread.join()  # its result waits for the event loop, which has not heard of it when the caller goes
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        assert threads._overdue == 0
        assert await threads.run("a", lambda: 1) == 1

    asyncio.run(scenario())
