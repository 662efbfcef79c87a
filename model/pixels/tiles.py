"""Tiling of a decoded image into the global view and the local tiles, in the one place that knows their order.

Knows numpy and Pillow, not torch: decoder processes make the tiles, and the API process sends them, still as
bytes per channel, to a worker. Every function is pure and safe from any thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NewType, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.pixels.rgb import DecodedPicture, RgbRows

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)  # of red, green and blue in [0, 1]
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

# In every image key; raise it whenever the same file would give other tiles than before.
PREPROCESSING = 2

Tiles = NDArray[np.uint8]
ImageKey = NewType("ImageKey", str)  # the hash of an image's decoded pixels: its identity in caches, slots and messages
TileKey = NewType("TileKey", str)  # the hash of a tile's pixels and of its role: global view or local tile


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Facts about an image's file that answers repeat.

    Attributes:
        format: its format, such as `JPEG`; empty if it came from no file.
        frames: how many frames or pages it holds, of which the first is the image.
        has_transparency: some of its pixels were not opaque, and were laid on white.
        warnings: stable words for what was wrong with it and did not hinder.
    """

    format: str = ""
    frames: int = 1
    has_transparency: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class TiledImage:
    """Image that is ready for the vision encoder.

    `image_key` names what was decoded (RGB bytes, width, height), not the file: it is the identity of the image in
    the feature cache. `tiles` is uint8 [N, tile_px, tile_px, 3]: the global view, then the local tiles. Images share
    features of tiles that have the same of `tile_keys` [N]; an image without keys shares nothing.
    """

    image_key: ImageKey
    width_px: int
    height_px: int
    tiles: Tiles
    facts: ImageFacts = ImageFacts()
    tile_keys: tuple[TileKey, ...] = ()


class Views(Protocol):
    """The two views of a picture that tiles are cut from, made from strips of its rows."""

    def paste(self, rgb: Image.Image, data: bytes, top: int) -> None:
        """Take the rows from `top` on; their pixels as bytes are `data`."""

    def down(self) -> tuple[Tiles, Tiles]:
        """Return the small and the large view, uint8 [side, side, 3], when all rows were taken."""


MakeViews = Callable[[int, int, int], Views]  # of the sides of both views, and the height of the picture, in pixels


def prepare(
    image: Image.Image | DecodedPicture, tile_px: int, level: int, make_views: MakeViews | None = None
) -> TiledImage:
    """Hash the pixels of an image, and cut its tiles.

    The camera's orientation mark is applied, colours become sRGB, what is transparent is laid on white before anything
    is resized; the first frame of an animation is taken. Works in strips of rows, so that beside the decoded image
    there is no second one of its size.

    Args:
        image: the image.
        tile_px: side of a tile.
        level: local tiles along each side.
        make_views: what resizes it; `PillowViews` if nothing does it faster.

    Raises:
        OSError, SyntaxError, ValueError: Pillow could not decode the file, or its pixels say nothing.
    """
    picture = image if isinstance(image, DecodedPicture) else DecodedPicture.of(image)
    rows, (width_px, height_px) = RgbRows(picture), picture.upright_size
    digest = hashlib.sha256(f"{PREPROCESSING} RGB {width_px}x{height_px} 1/{picture.reduction} ".encode())
    views = (make_views or PillowViews)(tile_px, level * tile_px, rows.size[1])
    for top, rgb in rows.strips():
        data = rgb.tobytes()
        digest.update(data)
        views.paste(rgb, data, top)
    facts = ImageFacts(picture.image.format or "", has_transparency=rows.has_transparency)
    tiles = _tiles(*views.down(), level)
    return TiledImage(ImageKey(digest.hexdigest()), width_px, height_px, tiles, facts, _tile_keys(tiles))


def cut(rgb: Image.Image, tile_px: int, level: int) -> Tiles:
    """Cut the global view and local tiles of an RGB image, uint8 [1 + level**2, tile_px, tile_px, 3].

    The aspect ratio is not kept. Local tiles are column-major: x is the outer loop, y the inner one
    (arXiv 2501.02584, figure 1; the order is the published checkpoints').
    """
    views = PillowViews(tile_px, level * tile_px, rgb.height)
    views.paste(rgb, b"", 0)
    return _tiles(*views.down(), level)


def _tiles(small: Tiles, large: Tiles, level: int) -> Tiles:
    tile_px = len(small)
    grid = large.reshape(level, tile_px, level, tile_px, 3)  # [y, S, x, S, 3]
    local = grid.transpose(2, 0, 1, 3, 4).reshape(level**2, tile_px, tile_px, 3)
    return np.concatenate([small[None], local])


def _tile_keys(tiles: Tiles) -> tuple[TileKey, ...]:
    return tuple(_tile_key("local tile" if place else "global view", tile) for place, tile in enumerate(tiles))


def _tile_key(role: str, tile: Tiles) -> TileKey:
    digest = hashlib.sha256(f"{PREPROCESSING} {role} ".encode())
    digest.update(tile.reshape(-1).data)
    return TileKey(digest.hexdigest())


class PillowViews:
    """The two views as Pillow makes them; `model.network.compiled.vision.resizing` makes the same ones faster."""

    def __init__(self, small_px: int, large_px: int, height_px: int) -> None:
        self._views = [_ResizedAcross(side_px, height_px) for side_px in (small_px, large_px)]

    def paste(self, rgb: Image.Image, data: bytes, top: int) -> None:
        """Take the rows from `top` on."""
        for view in self._views:
            view.paste(rgb, top)

    def down(self) -> tuple[Tiles, Tiles]:
        """Return the views, uint8 [side, side, 3], when all rows were taken."""
        small, large = (np.asarray(view.down()) for view in self._views)
        return small, large


class _ResizedAcross:
    """An image resized across, strip by strip, and then down.

    One axis at a time: Pillow 13 chooses the order of its two passes by cost, older ones went across first, and the
    8-bit rounding in between makes the results differ. Going across first, always, gives the same pixels everywhere.
    Each row is resized by itself, so strips give the pixels that the whole image would.
    """

    def __init__(self, side_px: int, height_px: int) -> None:
        self._size = (side_px, height_px)
        self._image: Image.Image | None = None  # until rows come

    def paste(self, rgb: Image.Image, top: int) -> None:
        """Take the rows from `top` on."""
        side_px, height_px = self._size
        across = rgb.resize((side_px, rgb.height), Image.Resampling.BICUBIC)
        if rgb.height == height_px:
            self._image = across
            return
        if self._image is None:
            self._image = Image.new("RGB", self._size)
        self._image.paste(across, (0, top))

    def down(self) -> Image.Image:
        """Return the square view, when all rows were taken."""
        assert self._image is not None
        side_px = self._size[0]
        return self._image.resize((side_px, side_px), Image.Resampling.BICUBIC)
