"""Events of a reservation on their way to a client."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock

import pytest

from model.request import TokenLogprob
from service.dispatch.reservation import Reservation
from service.errors import DeadlineExceeded, RowFailed
from service.messages.from_worker import Delta, Finished, RowTimings, Usage

USAGE, TIMINGS = Usage(1, 2, 3, 4, 0), RowTimings(0.0, 0.0, 0.0, 0.0)


def delta(token: int) -> Delta:
    return Delta("a", (token,), str(token), (TokenLogprob(-1.0, ()),), 1)


END = Finished("a", "", "stop", USAGE, TIMINGS)


@pytest.mark.parametrize("whole", [False, True])
def test_events_come_in_their_order_whether_tokens_are_held_back_or_not(whole: bool) -> None:
    async def scenario() -> None:
        reservation = Reservation(Mock(), 1, 60.0)
        if whole:
            reservation.hold_deltas()
        reservation.put(0, delta(1))
        assert reservation._events.qsize() == (0 if whole else 1)
        reservation.put(0, delta(2))
        reservation.put(0, END)
        assert [event async for _, event in reservation.events()] == [delta(1), delta(2), END]

    asyncio.run(scenario())


def test_a_failure_ends_a_wait_for_whole_answers_at_once() -> None:
    async def scenario() -> None:
        reservation = Reservation(Mock(), 1, 60.0)
        reservation.hold_deltas()
        reservation.put(0, delta(1))
        reservation.put(0, RowFailed("the device ran out of memory"))
        with pytest.raises(RowFailed):
            _ = [event async for event in reservation.events()]

    asyncio.run(scenario())


def test_a_deadline_ends_a_wait_although_there_are_events() -> None:
    async def scenario() -> None:
        reservation = Reservation(Mock(), 1, 0.0)
        reservation.put(0, delta(1))
        with pytest.raises(DeadlineExceeded):
            _ = [event async for event in reservation.events()]

    asyncio.run(scenario())
