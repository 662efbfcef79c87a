"""Compiled resizing beside Pillow's, its naive twin: the same pixels, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

pytest.importorskip("numba")

from model.network.compiled.vision.resizing import CompiledViews
from model.pixels.tiles import MakeViews, PillowViews, Tiles, prepare

Sides = st.integers(1, 300)


def noise(width: int, height: int, seed: int, *, harsh: bool) -> Image.Image:
    """Draw pixels of any brightness, or of black and white alone, between which the filter overshoots most."""
    pixels = np.random.default_rng(seed).integers(0, 2 if harsh else 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels * 255 if harsh else pixels)


def in_strips(make_views: MakeViews, image: Image.Image, small_px: int, large_px: int, rows: int) -> tuple[Tiles, ...]:
    views = make_views(small_px, large_px, image.height)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        views.paste(strip, strip.tobytes(), top)
    return views.down()


@settings(max_examples=60)
@given(Sides, Sides, st.integers(1, 70), st.integers(1, 3), st.integers(1, 40), st.booleans(), st.integers(0, 99))
def test_every_pixel_is_pillows(width, height, side_px, level, rows, harsh, seed) -> None:
    image = noise(width, height, seed, harsh=harsh)
    ours = in_strips(CompiledViews, image, side_px, level * side_px, rows)
    for view, twin in zip(ours, in_strips(PillowViews, image, side_px, level * side_px, rows), strict=True):
        np.testing.assert_array_equal(view, twin)


@pytest.mark.parametrize(
    ("size", "tile_px", "level"),
    [
        pytest.param((640, 480), 96, 3, id="pheye-tiny"),
        pytest.param((3000, 700), 224, 2, id="x2-448, a strip and a half"),
        pytest.param((448, 448), 224, 2, id="as large as a view"),
        pytest.param((2, 9001), 8, 2, id="a needle"),
        pytest.param((1, 1), 8, 2, id="a pixel"),
    ],
)
def test_an_image_has_the_same_names_and_tiles_by_either(size, tile_px, level) -> None:
    image = noise(*size, 1, harsh=False)
    ours, twin = prepare(image, tile_px, level, CompiledViews), prepare(image, tile_px, level)
    assert (ours.image_key, ours.tile_keys) == (twin.image_key, twin.tile_keys)
    np.testing.assert_array_equal(ours.tiles, twin.tiles)
