"""The prefetch queue: which images stay, in which order, and that each that was opened is closed once."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from model.pixels.tiles import ImageKey, TiledImage
from service.worker.scheduling.prefetch_queue import MAX_PREFETCH, PrefetchQueue

TILES = 5


class OpenedImages:
    """A runner of which no more is known than which images are open, and how much of them is encoded."""

    def __init__(self) -> None:
        self.config = SimpleNamespace(tiles=TILES)
        self.encoded: Counter[ImageKey] = Counter()
        self.users: Counter[ImageKey] = Counter()

    def open_image(self, image: TiledImage) -> int:
        self.users[image.image_key] += 1
        return self.encoded[image.image_key]

    def keep_image(self, image_key: ImageKey) -> None:
        assert self.users[image_key] > 0

    def close_image(self, image_key: ImageKey) -> None:
        assert self.users[image_key] > 0
        self.users[image_key] -= 1

    def encoded_tiles(self, image_key: ImageKey) -> int:
        assert self.users[image_key] > 0  # others know nothing of an image that nobody needs
        return self.encoded[image_key]

    @property
    def open(self) -> set[ImageKey]:
        assert max(self.users.values(), default=0) <= 1
        return {key for key, users in self.users.items() if users}


@pytest.fixture
def runner() -> Any:
    return OpenedImages()


@pytest.fixture
def waiting(runner: Any) -> PrefetchQueue:
    return PrefetchQueue(runner)


def image(name: object) -> TiledImage:
    return TiledImage(ImageKey(str(name)), 8, 8, np.zeros((TILES, 8, 8, 3), dtype=np.uint8))


def test_images_wait_in_the_order_in_which_they_came(waiting: PrefetchQueue, runner: OpenedImages) -> None:
    assert not waiting
    assert all(waiting.add(image(name)) for name in ("second", "first"))
    assert waiting.image_keys == ["second", "first"]
    assert len(waiting) == 2
    assert runner.open == {"second", "first"}


def test_an_image_that_is_wished_for_twice_is_opened_once_and_keeps_its_place(
    waiting: PrefetchQueue, runner: OpenedImages
) -> None:
    assert all(waiting.add(image(name)) for name in ("twice", "once", "twice"))
    assert waiting.image_keys == ["twice", "once"]
    assert runner.open == {"twice", "once"}


def test_an_image_of_known_features_does_not_wait_and_is_closed_again(
    waiting: PrefetchQueue, runner: OpenedImages
) -> None:
    runner.encoded[ImageKey("known")] = TILES
    assert not waiting.add(image("known"))
    assert not waiting
    assert runner.open == set()


def test_an_image_of_which_only_a_part_is_known_waits(waiting: PrefetchQueue, runner: OpenedImages) -> None:
    runner.encoded[ImageKey("a part")] = TILES - 1
    assert waiting.add(image("a part"))
    assert waiting.image_keys == ["a part"]


def test_the_oldest_wish_makes_room_for_the_latest(waiting: PrefetchQueue, runner: OpenedImages) -> None:
    for number in range(MAX_PREFETCH + 2):
        waiting.add(image(number))
    assert waiting.image_keys == [str(number) for number in range(2, MAX_PREFETCH + 2)]
    assert runner.open == set(waiting.image_keys)


def test_an_image_of_known_features_takes_no_place_of_another(waiting: PrefetchQueue, runner: OpenedImages) -> None:
    runner.encoded[ImageKey("known")] = TILES
    for number in range(MAX_PREFETCH):
        waiting.add(image(number))
    assert not waiting.add(image("known"))
    assert len(waiting) == MAX_PREFETCH


def test_an_image_that_is_ended_is_closed_and_others_are_none_of_its_business(
    waiting: PrefetchQueue, runner: OpenedImages
) -> None:
    for name in ("ended", "other"):
        waiting.add(image(name))
    runner.users[ImageKey("a row's")] = 1
    for _ in range(2):
        waiting.end(ImageKey("ended"))
    waiting.end(ImageKey("a row's"))
    assert waiting.image_keys == ["other"]
    assert runner.open == {"other", "a row's"}


def test_only_what_is_encoded_by_now_ends_and_only_if_it_was_touched(
    waiting: PrefetchQueue, runner: OpenedImages
) -> None:
    for name in ("done", "half done", "done but not touched"):
        waiting.add(image(name))
    for name, tiles in (("done", TILES), ("half done", 2), ("done but not touched", TILES)):
        runner.encoded[ImageKey(name)] = tiles
    waiting.end_encoded(map(ImageKey, ("half done", "done", "of a row alone")))
    assert waiting.image_keys == ["half done", "done but not touched"]
    assert runner.open == {"half done", "done but not touched"}


def test_clearing_closes_every_image(waiting: PrefetchQueue, runner: OpenedImages) -> None:
    for number in range(3):
        waiting.add(image(number))
    waiting.clear()
    assert not waiting
    assert runner.open == set()
