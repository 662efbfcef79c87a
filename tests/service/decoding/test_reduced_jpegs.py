"""Large JPEGs decoded at a reduced scale: hardly a tile tells, and no limit is lifted."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL.JpegImagePlugin import JpegImageFile

from service.bench.decoding import photograph
from service.decoding.decode import IMAGE_END_MISSING, _reduce
from service.errors import InvalidField, TooLarge
from tests.support.decoded import tiled


@pytest.mark.parametrize(("size", "tile_px", "scale"), [((1000, 800), 32, 4), ((640, 480), 48, 2)])
def test_a_large_jpeg_is_decoded_smaller_and_hardly_any_tile_tells(size, tile_px, scale):
    whole = photograph(size)
    exact, fast = (tiled(whole, exact=exact, tile_px=tile_px, level=2) for exact in (True, False))
    assert (exact.width_px, exact.height_px) == (fast.width_px, fast.height_px) == size
    assert exact.image_key != fast.image_key
    difference = np.abs(exact.tiles.astype(np.int16) - fast.tiles)
    assert difference.mean() <= 0.2
    assert difference.max() <= 2
    image = JpegImageFile(BytesIO(whole), "")
    assert _reduce(image, 2 * 2 * tile_px) == scale
    assert image.size == (-(-size[0] // scale), -(-size[1] // scale))


def test_a_jpeg_that_is_not_much_larger_than_the_tiles_is_decoded_in_full():
    whole = photograph((640, 383))
    exact, fast = (tiled(whole, exact=exact, tile_px=48, level=2) for exact in (True, False))
    assert exact.image_key == fast.image_key
    np.testing.assert_array_equal(exact.tiles, fast.tiles)


def test_pixels_are_judged_by_the_size_of_the_file_not_by_the_one_it_is_decoded_at():
    with pytest.raises(TooLarge, match="1000 x 800"):
        tiled(photograph((1000, 800)), tile_px=32, level=2, max_pixels=799_999)


def test_a_large_jpeg_whose_very_end_is_missing_is_decoded_smaller_too():
    whole = photograph((1000, 800))
    image = tiled(whole[:-30], tile_px=32, level=2)
    assert image.facts.warnings == (IMAGE_END_MISSING,)
    assert (image.width_px, image.height_px) == (1000, 800)
    with pytest.raises(InvalidField):
        tiled(whole[: len(whole) * 9 // 10], tile_px=32, level=2)
