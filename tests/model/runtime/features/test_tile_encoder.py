"""Encoding of tiles in one piece, in halves on two threads, or in batches of fixed sizes: the same features."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from model.checkpoint.checkpoint import Checkpoint
from model.network.pheye import Pheye
from model.pixels.tiles import Tiles
from model.runtime.features.tile_encoder import TileEncoder
from model.runtime.vision_steps import VisionSteps

PLACES = [3, 4, 0, 1, 2]  # the end of one image and the beginning of another


class Watched:
    """A model's `encode_tiles` that notes which places it encodes in which thread."""

    def __init__(self, model: Pheye) -> None:
        self.passes: dict[str, list[list[int]]] = {}
        self._encode_tiles = model.encode_tiles

    def __call__(self, tiles: Tiles, indices: Sequence[int]) -> Tensor:
        self.passes.setdefault(threading.current_thread().name, []).append(list(indices))
        return self._encode_tiles(tiles, indices)

    @property
    def here(self) -> list[list[int]]:
        return self.passes.get(threading.current_thread().name, [])

    @property
    def elsewhere(self) -> list[list[int]]:
        return [
            each for name, found in self.passes.items() if name != threading.current_thread().name for each in found
        ]


@pytest.fixture
def model(tiny: Checkpoint) -> Iterator[Pheye]:
    with torch.inference_mode():
        yield Pheye(tiny.tensors, tiny.config, torch.device("cpu"), torch.float32)


@pytest.fixture
def watched(model: Pheye, monkeypatch: pytest.MonkeyPatch) -> Watched:
    noted = Watched(model)
    monkeypatch.setattr(model, "encode_tiles", noted)
    return noted


def noise(model: Pheye, count: int) -> Tiles:
    side = model.config.vision.tile_px
    return np.random.default_rng(count).integers(256, size=(count, side, side, 3), dtype=np.uint8)


def encoder(model: Pheye, *, fixed: bool = False, lone_threads: int = 1) -> TileEncoder:
    return TileEncoder(model, VisionSteps(model, record=False) if fixed else None, lone_threads)


@pytest.mark.parametrize(
    "words", [{}, {"fixed": True}, {"lone_threads": 2}], ids=["in one piece", "in fixed sizes", "in halves"]
)
def test_tiles_of_several_arrays_get_the_features_of_one(model: Pheye, words: dict[str, Any]) -> None:
    tiles = noise(model, 5)
    expected = model.encode_tiles(tiles, PLACES)
    made = encoder(model, **words)
    made.use_cores(alone=True)
    found = made.encode([tiles[:2], tiles[2:3], tiles[3:]], PLACES)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert not torch.allclose(found, found.roll(1, 0), atol=1e-3)  # an order that is mixed up would be seen


def test_a_lone_row_gets_each_half_of_its_tiles_from_another_thread(model: Pheye, watched: Watched) -> None:
    made = encoder(model, lone_threads=2)
    made.use_cores(alone=True)
    made.encode([noise(model, 5)], PLACES)
    assert (watched.here, watched.elsewhere) == ([[3, 4]], [[0, 1, 2]])


def test_one_tile_is_encoded_by_the_thread_that_asks(model: Pheye, watched: Watched) -> None:
    made = encoder(model, lone_threads=2)
    made.use_cores(alone=True)
    made.encode([noise(model, 1)], [3])
    assert (watched.here, watched.elsewhere) == ([[3]], [])


def test_a_crowd_is_encoded_in_one_piece_again(model: Pheye, watched: Watched) -> None:
    made = encoder(model, lone_threads=2)
    made.use_cores(alone=True)
    made.use_cores(alone=False)
    made.encode([noise(model, 5)], PLACES)
    assert (watched.here, watched.elsewhere) == ([PLACES], [])


@pytest.mark.parametrize(
    "words", [{"lone_threads": 1}, {"lone_threads": 2, "fixed": True}], ids=["one thread", "fixed sizes"]
)
def test_a_lone_row_takes_no_second_thread_where_there_is_none_to_take(
    model: Pheye, watched: Watched, words: dict[str, Any]
) -> None:
    made = encoder(model, **words)
    made.use_cores(alone=True)
    made.encode([noise(model, 5)], PLACES)
    assert watched.elsewhere == []


def test_what_fails_in_the_other_thread_fails_here_and_the_next_tiles_are_encoded(
    model: Pheye, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, tiles, here = encoder(model, lone_threads=2), noise(model, 5), threading.current_thread()
    made.use_cores(alone=True)
    expected = made.encode([tiles], PLACES)
    with monkeypatch.context() as patch:
        right = model.encode_tiles

        def failing_elsewhere(tiles: Tiles, indices: Sequence[int]) -> Tensor:
            if threading.current_thread() is not here:
                raise torch.OutOfMemoryError("no room")
            return right(tiles, indices)

        patch.setattr(model, "encode_tiles", failing_elsewhere)
        with pytest.raises(torch.OutOfMemoryError, match="no room"):
            made.encode([tiles], PLACES)
    torch.testing.assert_close(made.encode([tiles], PLACES), expected)


def test_warming_up_gives_features_of_a_black_image_for_which_one_tile_is_encoded(
    model: Pheye, watched: Watched
) -> None:
    features = encoder(model).warm_up()
    assert watched.here == [[0]]
    side = model.config.vision.tile_px
    (black,) = model.encode_tiles(np.zeros((1, side, side, 3), dtype=np.uint8), [0])
    assert len(features) == model.config.tiles
    for each in features:
        torch.testing.assert_close(each, black, atol=1e-5, rtol=0)


def test_warming_up_batches_of_fixed_sizes_runs_each_of_them_and_encodes_a_whole_image(
    model: Pheye, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches, warmed = VisionSteps(model, record=False), []
    monkeypatch.setattr(batches, "warm_up", lambda: warmed.append(True))
    features = torch.stack(TileEncoder(model, batches, 1).warm_up())
    side, tiles = model.config.vision.tile_px, model.config.tiles
    assert warmed == [True]
    expected = model.encode_tiles(np.zeros((tiles, side, side, 3), dtype=np.uint8), range(tiles))
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=0)
