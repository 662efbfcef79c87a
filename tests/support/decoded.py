"""Images of the scene, decoded in this process, to compare odd files with."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from model.pixels.tiles import TiledImage
from service.decoding.decode import tile
from service.images import ImageSource
from tests.support.pictures import saved, scene

LOSSLESS = {
    "PNG": {},
    "BMP": {},
    "TIFF": {},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
}


def tiled(file: bytes, **options) -> TiledImage:
    return tile(ImageSource(file), **{"max_pixels": 10**6, "tile_px": 96, "level": 3} | options)


@lru_cache
def of_the_scene(form: str) -> TiledImage:
    return tiled(saved(scene(), form, **({"quality": 95} if form == "JPEG" else LOSSLESS[form])))


def assert_like(file: bytes, expected: TiledImage, levels: int = 0) -> TiledImage:
    image = tiled(file)
    assert np.abs(image.tiles.astype(np.int16) - expected.tiles).max() <= levels
    assert (image.width_px, image.height_px) == (expected.width_px, expected.height_px)
    return image
