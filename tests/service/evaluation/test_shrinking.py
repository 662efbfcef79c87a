"""Shrinking: what the global view sees of an image, and nothing finer."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from model.pixels.tiles import prepare
from service.errors import InvalidField, TooLarge, UnsupportedImage
from service.evaluation.shrinking import shrunk
from tests.support.serving import image_file


def test_a_shrunk_image_has_the_global_view_of_the_whole_one_and_no_finer_tiles() -> None:
    file = image_file(size=(300, 200))
    with Image.open(BytesIO(file)) as image, Image.open(BytesIO(shrunk(file, 64, 10**6))) as small:
        assert small.size == (64, 64)
        whole, less = prepare(image, 64, 2), prepare(small, 64, 2)
    assert np.array_equal(whole.tiles[0], less.tiles[0])
    assert not np.array_equal(whole.tiles[1:], less.tiles[1:])


@pytest.mark.parametrize(
    ("file", "error"),
    [
        (b"", InvalidField),
        (b"text", UnsupportedImage),
        (image_file("PNG")[:100], InvalidField),
        (image_file(size=(2000, 1000)), TooLarge),
    ],
    ids=["empty", "no image", "cut short", "too large"],
)
def test_what_the_service_refuses_is_refused(file: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        shrunk(file, 64, 10**6)
