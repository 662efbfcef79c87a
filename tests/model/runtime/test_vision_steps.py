"""Vision batches of fixed sizes give the features of one batch of whatever there is: alone, mixed, in any order."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model.checkpoint.checkpoint import Checkpoint
from model.config import GEOMETRIES
from model.request import TileSpan
from model.runtime.runner import ModelRunner
from model.runtime.vision_steps import MOST_TILES, batches_of, series
from tests.support.golden import fp32_runner, noise_image


@pytest.mark.parametrize("config", GEOMETRIES.values(), ids=GEOMETRIES.keys())
def test_any_tiles_are_batches_without_padding_and_whole_images_are_few(config):
    batches, local = batches_of(config), config.level**2
    assert len(batches) <= 9
    assert max(batch.tiles for batch in batches) == MOST_TILES
    for images in range(12):
        for more_views in range(3):
            for more_local in range(local + 1):
                views, tiles = images + more_views, images * local + more_local
                found = series(views, tiles, batches)
                assert sum(batch.views for batch in found) == views
                assert sum(batch.local for batch in found) == tiles
        assert len(series(images, images * local, batches)) <= 4


def test_batches_of_the_largest_model_are_whole_images_and_parts_of_one():
    batches = [(batch.views, batch.local) for batch in batches_of(GEOMETRIES["Pheye-x2-672"])]
    assert batches == [(8, 72), (4, 36), (2, 18), (1, 9), (0, 9), (0, 4), (0, 2), (0, 1), (1, 0)]


ORDERS = {
    "one image": [0, 1, 2, 3, 4],
    "one view": [0],
    "one local tile": [3],
    "a part of an image": [2, 3, 4],
    "the end of one image, all of another, the beginning of a third": [3, 4, 0, 1, 2, 3, 4, 0, 1],
    "three images": [0, 1, 2, 3, 4] * 3,
    "any order": [4, 0, 2, 1, 0, 0, 3, 1, 4, 2, 2, 3, 0],
    "views alone": [0, 0, 0],
    "more than the largest batch": [0, 1, 2, 3, 4] * 17,
}


@pytest.mark.parametrize("indices", ORDERS.values(), ids=ORDERS.keys())
def test_features_are_those_of_one_batch(tiny: Checkpoint, indices: list[int]) -> None:
    runner = fp32_runner(tiny, steps="fixed")
    side = tiny.config.vision.tile_px
    tiles = np.random.default_rng(0).integers(256, size=(len(indices), side, side, 3), dtype=np.uint8)
    assert runner._encoder._batches is not None
    with torch.inference_mode():
        expected = runner._model.encode_tiles(tiles, indices)
        found = runner._encoder._batches.encode(list(tiles), indices)
        again = runner._encoder._batches.encode(list(tiles[::-1]), indices[::-1])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(again.flip(0), expected, atol=1e-5, rtol=0)


def encoded(runner: ModelRunner, checkpoint: Checkpoint) -> list[torch.Tensor]:
    """Features of three images whose spans come as a stall budget cuts them."""
    images = [noise_image(checkpoint, seed) for seed in range(3)]
    for image in images:
        runner.open_image(image)
    first, second, third = (image.image_key for image in images)
    runner.encode([TileSpan(first, 0, 1)])
    runner.encode([TileSpan(first, 1, 3)])
    runner.encode([TileSpan(first, 3, 5), TileSpan(second, 0, 5), TileSpan(third, 0, 2)])
    runner.encode([TileSpan(third, 2, 5)])
    return [torch.stack(runner._images[image.image_key].complete) for image in images]


def test_images_cut_by_a_stall_budget_get_the_features_of_an_eager_runner(tiny: Checkpoint) -> None:
    fixed, eager = (encoded(fp32_runner(tiny, steps=steps), tiny) for steps in ("fixed", "eager"))
    torch.testing.assert_close(fixed, eager, atol=1e-5, rtol=0)


def test_a_runner_of_fixed_steps_warms_up(tiny: Checkpoint) -> None:
    runner = fp32_runner(tiny, slots=2, steps="fixed")
    runner.warm_up()
    assert runner.cache_bytes == 0
