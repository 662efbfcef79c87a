"""Decoding and tiling of a large photograph, at the size of the file and at the smaller one that the tiles need.

The picture is drawn, with as much detail at every scale as photographs have. Main thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BytesIO

import numpy as np
from PIL import Image

from model.bench.timing import Lap, Race, Stopwatch, race
from model.config import PheyeConfig
from model.pixels.tiles import TiledImage
from service.decoding.decode import tile
from service.images import ImageSource

SIZE_PX = (4000, 3000)  # 12 megapixels, as phones make them
REPEATS = 5
DETAILS_PX = (2, 8, 32, 128, 512)
QUALITY = 90


@dataclass(frozen=True, slots=True)
class DecodingSpeed:
    """Seconds for one image, and how far its tiles differ, in levels of 255.

    Attributes:
        model: name of the geometry.
        megapixels: of the image.
        largest_view_px: side of the largest view that is cut into tiles.
        race: full size is the baseline.
        mean_difference: over all tiles.
        max_difference: of any value.
    """

    model: str
    megapixels: float
    largest_view_px: int
    race: Race
    mean_difference: float
    max_difference: int


def photograph(size_px: tuple[int, int], seed: int = 0) -> bytes:
    """Draw a JPEG whose details get weaker as they get finer, as those of photographs do."""
    width_px, height_px = size_px
    noise = np.random.default_rng(seed)
    picture: Image.Image | None = None
    for detail_px in DETAILS_PX:
        grid = (max(2, height_px // detail_px), max(2, width_px // detail_px), 3)
        layer = Image.fromarray(noise.integers(256, size=grid, dtype=np.uint8))
        layer = layer.resize(size_px, Image.Resampling.BICUBIC)
        picture = layer if picture is None else Image.blend(picture, layer, 0.6)
    assert picture is not None
    file = BytesIO()
    picture.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def decoding_speed(config: PheyeConfig, *, size_px: tuple[int, int] = SIZE_PX, repeats: int = REPEATS) -> DecodingSpeed:
    """Time both ways in turns."""
    source, tile_px, level = ImageSource(photograph(size_px)), config.vision.tile_px, config.level
    work = partial(tile, source, max_pixels=size_px[0] * size_px[1], tile_px=tile_px, level=level)
    raced = race(_call(partial(work, exact=True)), _call(work), repeats, Stopwatch())
    differences = np.abs(raced.baseline.tiles.astype(np.int16) - raced.fast.tiles)
    return DecodingSpeed(
        model=config.name,
        megapixels=size_px[0] * size_px[1] / 1e6,
        largest_view_px=tile_px * level,
        race=raced.races[-1],
        mean_difference=float(differences.mean()),
        max_difference=int(differences.max()),
    )


def _call(work: Callable[[], TiledImage]) -> Callable[[Lap], TiledImage]:
    return lambda _: work()
