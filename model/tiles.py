"""Tiling of a decoded image into the global view and the local tiles, in the one place that knows their order.

Knows numpy and Pillow, not torch: decoder processes make the tiles, and the API process sends them, still as
bytes per channel, to a worker. Every function is pure and safe from any thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NewType

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)  # of red, green and blue in [0, 1]
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

STRIP_PIXELS = 2**20  # pixels that are hashed and resized together
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # by the value of the orientation mark
_SIDEWAYS = {
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
}
# Turns after which the first row is what was the last row, or the last column.
_FROM_THE_END = {
    Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90,
}  # fmt: skip

Tiles = NDArray[np.uint8]
ImageKey = NewType("ImageKey", str)  # the hash of an image's decoded pixels: its identity in caches, slots and messages


@dataclass(frozen=True, eq=False, slots=True)
class TiledImage:
    """Image that is ready for the vision encoder.

    `image_key` names what was decoded (RGB bytes, width, height), not the file: it is the identity of the image in
    the feature cache. `tiles` is uint8 [N, tile_px, tile_px, 3]: the global view, then the local tiles.
    """

    image_key: ImageKey
    width_px: int
    height_px: int
    tiles: Tiles


def prepare(image: Image.Image, tile_px: int, level: int) -> TiledImage:
    """Decode `image` as needed, hash its pixels, and cut its tiles.

    The camera's orientation mark is applied, the first frame of an animation is taken, transparency is dropped. Works
    in strips of rows, so that beside the decoded image there is no second one of its size.

    Raises:
        OSError, SyntaxError, ValueError: Pillow could not decode the file.
    """
    image.load()
    oriented = _Oriented(image)
    width_px, height_px = oriented.size
    digest = hashlib.sha256(f"RGB {width_px}x{height_px} ".encode())
    views = [_ResizedAcross(side_px, height_px) for side_px in (tile_px, level * tile_px)]
    for top, rgb in oriented.strips():
        digest.update(rgb.tobytes())
        for view in views:
            view.paste(rgb, top)
    small, large = (view.down() for view in views)
    return TiledImage(ImageKey(digest.hexdigest()), width_px, height_px, _tiles(small, large, level))


def cut(rgb: Image.Image, tile_px: int, level: int) -> Tiles:
    """Cut the global view and local tiles of an RGB image, uint8 [1 + level**2, tile_px, tile_px, 3].

    The aspect ratio is not kept. Local tiles are column-major: x is the outer loop, y the inner one
    (arXiv 2501.02584, figure 1; the order is the published checkpoints').
    """
    views = [_ResizedAcross(side_px, rgb.height) for side_px in (tile_px, level * tile_px)]
    for view in views:
        view.paste(rgb, 0)
    small, large = (view.down() for view in views)
    return _tiles(small, large, level)


def _tiles(small: Image.Image, large: Image.Image, level: int) -> Tiles:
    tile_px = small.width
    grid = np.asarray(large).reshape(level, tile_px, level, tile_px, 3)  # [y, S, x, S, 3]
    local = grid.transpose(2, 0, 1, 3, 4).reshape(level**2, tile_px, tile_px, 3)
    return np.concatenate([np.asarray(small)[None], local])


class _ResizedAcross:
    """An image resized across, strip by strip, and then down.

    One axis at a time: Pillow 13 chooses the order of its two passes by cost, older ones went across first, and the
    8-bit rounding in between makes the results differ. Going across first, always, gives the same pixels everywhere.
    Each row is resized by itself, so strips give the pixels that the whole image would.
    """

    def __init__(self, side_px: int, height_px: int) -> None:
        self._side_px = side_px
        self._image = Image.new("RGB", (side_px, height_px))

    def paste(self, rgb: Image.Image, top: int) -> None:
        """Take the rows from `top` on."""
        across = rgb.resize((self._side_px, rgb.height), Image.Resampling.BICUBIC)
        if rgb.height == self._image.height:
            self._image = across
        else:
            self._image.paste(across, (0, top))

    def down(self) -> Image.Image:
        """Return the square view, when all rows were taken."""
        return self._image.resize((self._side_px, self._side_px), Image.Resampling.BICUBIC)


class _Oriented:
    """A decoded image as the camera's orientation mark (EXIF) turns it, read in strips of RGB rows."""

    def __init__(self, image: Image.Image) -> None:
        self._image = image
        self._turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
        self._sideways = self._turn in _SIDEWAYS
        self.size = image.size[::-1] if self._sideways else image.size

    def strips(self) -> Iterator[tuple[int, Image.Image]]:
        """Yield the strips from top to bottom, each with its first row."""
        width, height = self.size
        rows = max(1, STRIP_PIXELS // width)
        for top in range(0, height, rows):
            yield top, _to_rgb(self._strip(top, min(top + rows, height)))

    def _strip(self, top: int, bottom: int) -> Image.Image:
        (width, height), turn = self._image.size, self._turn
        if turn in _FROM_THE_END:
            top, bottom = self.size[1] - bottom, self.size[1] - top
        part = self._image.crop((top, 0, bottom, height) if self._sideways else (0, top, width, bottom))
        return part if turn is None else part.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        # 16-bit greyscale: Pillow's own conversion clips at 255 instead of scaling.
        grey = np.asarray(image).astype(np.uint32).clip(0, 65535) >> 8
        image = Image.fromarray(grey.astype(np.uint8))
    image.info.pop("transparency", None)  # it is dropped, and Pillow would warn that it is
    return image if image.mode == "RGB" else image.convert("RGB")
