"""Deletions with real workers: what is encoded for an answer promised before does not stay after it."""

from __future__ import annotations

from service.dispatch.queue import RequestQueue
from service.dispatch.reservation import Reservation
from service.messages.from_worker import Delta, Finished
from tests.support.queueing import CASES, IMAGES, LONG, RAMBLING, go, kill, running_queue, spec

CASE = CASES[1]
IMAGE = IMAGES[CASE["image"], 28]
OTHER = next(case for case in CASES if case["image"] != CASE["image"])


async def found_in_cache(reservation: Reservation) -> bool:
    """Read an answer to its end, and say whether its image was cached."""
    ends = [event async for _, event in reservation.events() if isinstance(event, Finished)]
    return ends[0].usage.image_features_cached


async def cached(queue: RequestQueue, tile_px: int = 28) -> bool:
    with queue.reserve(1) as reservation:
        reservation.submit(IMAGES[CASE["image"], tile_px], [spec(CASE)])
        return await found_in_cache(reservation)


def test_the_features_of_an_image_deleted_while_it_waits_go_with_its_answer() -> None:
    async def scenario() -> None:
        async with running_queue() as queue:
            assert [await cached(queue), await cached(queue)] == [False, True]
            with queue.reserve(1) as reservation:  # accepted; its image is decoded meanwhile
                queue.deletions.delete(IMAGE.image_key)
                reservation.submit(IMAGE, [spec(CASE)])
                assert not await found_in_cache(reservation)
            assert [await cached(queue), await cached(queue)] == [False, True]

    go(scenario)


def test_a_worker_that_answers_again_for_a_dead_one_keeps_nothing_deleted_either() -> None:
    async def scenario() -> None:
        async with running_queue(model=RAMBLING) as queue:
            with queue.reserve(1) as reservation:
                reservation.submit(IMAGES[CASE["image"], 64], [spec(CASE, **LONG)])
                events = reservation.events()
                assert isinstance((await anext(events))[1], Delta)
                queue.deletions.delete(IMAGES[CASE["image"], 64].image_key)
                kill(queue)
                async for _ in events:
                    pass
            assert not await cached(queue, 64)

    go(scenario)


def test_an_image_uploaded_anew_keeps_the_features_of_a_request_from_before() -> None:
    async def scenario() -> None:
        async with running_queue() as queue:
            with queue.reserve(1) as reservation:
                queue.deletions.delete(IMAGE.image_key)
                queue.deletions.revoke(IMAGE.image_key)
                reservation.submit(IMAGE, [spec(CASE)])
                await found_in_cache(reservation)
            assert await cached(queue)

    go(scenario)


def test_a_deletion_is_remembered_no_longer_than_the_requests_before_it() -> None:
    async def scenario() -> None:
        async with running_queue() as queue:
            with queue.reserve(1) as before:
                queue.deletions.delete(IMAGE.image_key)
                with queue.reserve(1) as after:
                    after.submit(IMAGES[OTHER["image"], 28], [spec(OTHER)])
                    await found_in_cache(after)
                assert len(queue.deletions) == 1
                before.submit(IMAGE, [spec(CASE)])
                await found_in_cache(before)
            assert len(queue.deletions) == 0

    go(scenario)
