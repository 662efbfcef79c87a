"""Tiles: order, exactness, identity of pixels, odd images."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from model.pixels.tiles import cut, prepare


def gradient(width: int, height: int) -> Image.Image:
    x, y = np.meshgrid(np.arange(width) % 256, np.arange(height) % 256)
    return Image.fromarray(np.stack([x, y, (x + y) % 256], axis=-1).astype(np.uint8))


@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([2, 3]))
def test_local_tiles_put_back_column_by_column_are_the_resized_image(width: int, height: int, level: int) -> None:
    image, side = gradient(width, height), 8
    tiles = cut(image, side, level)
    assert tiles.shape == (1 + level**2, side, side, 3)
    canvas = np.zeros((level * side, level * side, 3), dtype=np.uint8)
    for index, tile in enumerate(tiles[1:]):
        x, y = divmod(index, level)  # column-major: x outer, y inner
        canvas[y * side : (y + 1) * side, x * side : (x + 1) * side] = tile
    whole = image.resize((level * side, height), Image.Resampling.BICUBIC)
    whole = whole.resize((level * side, level * side), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(canvas, np.asarray(whole))
    np.testing.assert_array_equal(tiles[0], cut(image, side, 3)[0])


def test_the_same_pixels_have_the_same_name_whatever_the_file() -> None:
    image = gradient(20, 10)
    names = set()
    for kind in ("PNG", "BMP", "TIFF"):
        file = io.BytesIO()
        image.save(file, kind)
        with Image.open(file) as opened:
            names.add(prepare(opened, 8, 2).image_key)
    assert len(names) == 1


def test_the_same_bytes_in_another_shape_are_another_image() -> None:
    flat = np.zeros((10, 20, 3), dtype=np.uint8)
    wide, tall = Image.fromarray(flat), Image.fromarray(flat.reshape(20, 10, 3))
    assert prepare(wide, 8, 2).image_key != prepare(tall, 8, 2).image_key


def test_the_camera_orientation_is_applied() -> None:
    image = gradient(20, 10)
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees to view
    file = io.BytesIO()
    image.save(file, "PNG", exif=exif)
    with Image.open(file) as opened:
        prepared = prepare(opened, 8, 2)
    assert (prepared.width_px, prepared.height_px) == (10, 20)
    assert prepared.image_key == prepare(image.rotate(-90, expand=True), 8, 2).image_key


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "I;16"])
def test_every_colour_mode_becomes_tiles(mode: str) -> None:
    image = Image.new("I;16", (30, 20), 40000) if mode == "I;16" else gradient(30, 20).convert(mode)
    assert prepare(image, 8, 2).tiles.shape == (5, 8, 8, 3)


def test_sixteen_bit_grey_is_scaled_and_not_clipped() -> None:
    tiles = prepare(Image.new("I;16", (30, 20), 128 * 256), 8, 2).tiles
    assert np.unique(tiles).tolist() == [128]
