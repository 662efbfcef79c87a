"""Tiling of a decoded image into the global view and the local tiles, in the one place that knows their order.

Knows numpy and Pillow, not torch: the API process prepares images in its threads and sends the tiles, still as bytes
per channel, to a worker. Every function is pure and safe from any thread.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NewType

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)  # of red, green and blue in [0, 1]
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

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

    The camera's orientation mark is applied, the first frame of an animation is taken, transparency is dropped.

    Raises:
        OSError, SyntaxError, ValueError: Pillow could not decode the file.
    """
    rgb = _to_rgb(ImageOps.exif_transpose(image))
    digest = hashlib.sha256(f"RGB {rgb.width}x{rgb.height} ".encode())
    digest.update(rgb.tobytes())
    return TiledImage(ImageKey(digest.hexdigest()), rgb.width, rgb.height, cut(rgb, tile_px, level))


def cut(rgb: Image.Image, tile_px: int, level: int) -> Tiles:
    """Cut the global view and local tiles of an RGB image, uint8 [1 + level**2, tile_px, tile_px, 3].

    The aspect ratio is not kept. Local tiles are column-major: x is the outer loop, y the inner one
    (arXiv 2501.02584, figure 1; the order is the published checkpoints').
    """
    global_view = np.asarray(_resize(rgb, tile_px))  # [S, S, 3]
    large = np.asarray(_resize(rgb, level * tile_px))  # [level * S, level * S, 3]
    grid = large.reshape(level, tile_px, level, tile_px, 3)  # [y, S, x, S, 3]
    local = grid.transpose(2, 0, 1, 3, 4).reshape(level**2, tile_px, tile_px, 3)
    return np.concatenate([global_view[None], local])


def _resize(rgb: Image.Image, side_px: int) -> Image.Image:
    # One axis at a time: Pillow 13 chooses the order of its two passes by cost, older ones went across first, and the
    # 8-bit rounding in between makes the results differ. Going across first, always, gives the same pixels everywhere.
    across = rgb.resize((side_px, rgb.height), Image.Resampling.BICUBIC)
    return across.resize((side_px, side_px), Image.Resampling.BICUBIC)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        # 16-bit greyscale: Pillow's own conversion clips at 255 instead of scaling.
        grey = np.asarray(image).astype(np.uint32).clip(0, 65535) >> 8
        image = Image.fromarray(grey.astype(np.uint8))
    return image.convert("RGB")
