"""When requests are sent: closed loops wait for answers, open loops do not."""

from __future__ import annotations

import asyncio
import threading
from itertools import pairwise

import pytest

from loadtest.loops import ClosedLoop, LoadRun, Loop, OpenLoop, poisson_arrivals_s, share_out
from loadtest.mix import PlannedRequest
from loadtest.servers import Server
from tests.support.scripted import JSON, Actor, Line, serving

OK: Line = (200, JSON, None, b"{}")
FULL: Line = (429, JSON, "0.01", b"full")


def driven(loop: Loop, count: int, *lines: Line, actor: type[Actor] = Actor) -> LoadRun:
    asks = [PlannedRequest(b"image", ("a", "b"), stream=False, max_tokens=4)] * count
    with serving(*lines, actor=actor) as server:
        return asyncio.run(loop.drive(Server("a", server.url), asks, seed="1", timeout_s=20.0))


def together(parties: int) -> type[Actor]:
    """An actor that answers only when so many requests wait for their answer at the same time."""
    barrier = threading.Barrier(parties, timeout=15)

    class Together(Actor):
        def do_POST(self) -> None:
            barrier.wait()
            super().do_POST()

    return Together


def test_as_many_clients_as_asked_for_wait_at_the_same_time() -> None:
    drive = driven(ClosedLoop(4), 12, *[OK] * 12, actor=together(4))
    assert [each.reply.status for each in drive.outcomes] == ["200"] * 12


def test_there_are_never_more_clients_at_a_time_than_asked_for() -> None:
    most, now = 0, 0

    async def scenario() -> None:
        async def work(_: int) -> None:
            nonlocal most, now
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1

        await share_out(range(50), 3, work)

    asyncio.run(scenario())
    assert most == 3


def test_a_closed_loop_is_never_late_and_counts_texts() -> None:
    drive = driven(ClosedLoop(2), 4, *[OK] * 4)
    assert all(each.due_s == each.sent_s < each.reply.ended_s for each in drive.outcomes)
    assert [each.answers for each in drive.outcomes] == [2] * 4


def test_a_refused_client_of_a_closed_loop_comes_back_and_its_wait_counts() -> None:
    drive = driven(ClosedLoop(1), 1, FULL, FULL, OK)
    (outcome,) = drive.outcomes
    assert (outcome.reply.status, drive.refusals_obeyed) == ("200", 2)
    assert outcome.reply.ended_s - outcome.due_s >= 0.02


def test_an_open_loop_sends_on_while_nothing_is_answered() -> None:
    drive = driven(OpenLoop(500.0), 40, *[OK] * 40, actor=together(40))
    assert [each.reply.status for each in drive.outcomes] == ["200"] * 40


def test_an_open_loops_requests_are_due_as_drawn_and_never_early() -> None:
    outcomes = driven(OpenLoop(200.0), 10, *[OK] * 10).outcomes
    drawn = poisson_arrivals_s(200.0, 10, "1")
    after_first = [each.due_s - outcomes[0].due_s for each in outcomes]
    assert after_first == pytest.approx([each - drawn[0] for each in drawn])
    assert all(each.sent_s >= each.due_s for each in outcomes)


def test_who_an_open_loop_has_refused_stays_away() -> None:
    drive = driven(OpenLoop(100.0), 2, FULL, OK)
    assert sorted(each.reply.status for each in drive.outcomes) == ["200", "429"]
    assert drive.refusals_obeyed == 0


def test_arrivals_are_a_function_of_the_seed_and_come_at_the_rate_asked_for() -> None:
    drawn = poisson_arrivals_s(5.0, 4000, "1")
    assert drawn == poisson_arrivals_s(5.0, 4000, "1")
    assert drawn[:10] == poisson_arrivals_s(5.0, 10, "1")
    assert drawn[:10] != poisson_arrivals_s(5.0, 10, "2")
    assert drawn == sorted(drawn)
    assert 4000 / drawn[-1] == pytest.approx(5.0, rel=0.05)


def test_arrivals_are_as_irregular_as_a_poisson_process() -> None:
    drawn = poisson_arrivals_s(5.0, 4000, "1")
    gaps = [later - earlier for earlier, later in pairwise(drawn)]
    mean = sum(gaps) / len(gaps)
    spread = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert spread == pytest.approx(mean, rel=0.1)
