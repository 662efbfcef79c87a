"""Threads of compiled functions: what fails in one is raised, nothing is kept, and callers wait for each other."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

pytest.importorskip("numba")

from model.network.compiled.threads import Crew, barrier


class Something:
    """A thing that work may hold."""


@pytest.fixture(scope="module")
def three() -> Crew:
    together = Crew(3)
    together.run(lambda thread: barrier(together.counter, 3))  # compiled from here on
    return together


@pytest.mark.parametrize("failed", range(3))
def test_what_fails_in_one_thread_is_raised_and_leaves_none_at_a_barrier(three, failed):
    passed = []

    def work(thread: int) -> None:
        if thread == failed:
            raise ValueError(f"thread {thread} failed")
        for _ in range(3):
            barrier(three.counter, 3)
        passed.append(thread)

    with pytest.raises(ValueError, match=f"thread {failed} failed"):
        three.run(work)
    assert sorted(passed) == [thread for thread in range(3) if thread != failed]


def test_after_a_failure_the_next_work_is_done_by_all(three):
    with pytest.raises(ZeroDivisionError):
        three.run(lambda thread: 1 // 0)
    done = []

    def work(thread: int) -> None:
        barrier(three.counter, 3)
        done.append(thread)

    three.run(work)
    assert sorted(done) == [0, 1, 2]


@pytest.mark.parametrize("fails", [False, True])
def test_what_work_held_goes_with_it(three, fails):
    held = Something()
    gone = weakref.ref(held)

    def work(thread: int, held: Something = held) -> None:
        if fails:
            raise ValueError

    try:
        three.run(work)
    except ValueError:
        assert fails
    del held, work
    gc.collect()
    assert gone() is None


def test_callers_wait_for_each_other():
    together, at_once, most = Crew(2), [0], [0]
    change = threading.Lock()

    def work(thread: int) -> None:
        with change:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        barrier(together.counter, 2)
        with change:
            at_once[0] -= 1

    callers = [threading.Thread(target=lambda: [together.run(work) for _ in range(20)]) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
        assert not caller.is_alive()
    assert most == [2]
