"""Pictures as opaque, upright sRGB: what a person would see of a file, in 8 bits, on white paper.

Owns what becomes of orientation, colour profiles, transparency and deep pixels, for training and serving alike. Knows
Pillow and numpy, no file formats. Every function is pure; a `RgbRows` is used by one thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from model.pixels.colour import conversion
from model.pixels.exif import UPRIGHT, orientation

STRIP_PIXELS = 2**20  # pixels that are converted together
DEEPEST = 65_535  # white, of pixels that are whole numbers of more than 8 bits
FLOAT_SLACK = 1 / 255  # by which floating-point pixels may leave 0..1, as resizing makes them
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
_WITH_ALPHA = {"LA": "LA", "La": "LA", "PA": "RGBA", "RGBA": "RGBA", "RGBa": "RGBA"}  # and what shows their colours
_WITH_ONE_CLEAR_COLOUR = {"1": "LA", "L": "LA", "P": "RGBA", "RGB": "RGBA"}


class UnreadablePixels(ValueError):
    """Pixels whose numbers say nothing of how bright they are; the message says what to do."""


@dataclass(frozen=True, slots=True)
class DecodedPicture:
    """A decoded image and how it is to be seen.

    Attributes:
        image: its pixels, decoded at full size or smaller.
        size: width and height of the file, which may be more than the image's.
        orientation: the camera's mark, from 1 to 8.
        profile: the ICC profile of its colours; may be empty or broken.
        reduction: by how much its decoder has made it smaller.
    """

    image: Image.Image
    size: tuple[int, int]
    orientation: int = UPRIGHT
    profile: bytes = b""
    reduction: int = 1

    @classmethod
    def of(cls, image: Image.Image) -> DecodedPicture:
        """Take an image as Pillow opens it.

        Raises:
            OSError, SyntaxError, ValueError: Pillow could not decode the file.
        """
        image.load()
        exif, xmp, profile = (image.info.get(name) for name in ("exif", "xmp", "icc_profile"))
        return cls(image, image.size, orientation(_bytes(exif), _bytes(xmp)), _bytes(profile))

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height of the file's picture as it is seen."""
        return self.size[::-1] if _TURNS.get(self.orientation) in _SIDEWAYS else self.size


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


def to_rgb(image: Image.Image) -> Image.Image:
    """Return an image as Pillow opens it as opaque, upright sRGB.

    Raises:
        OSError, SyntaxError, ValueError: Pillow could not decode the file, or its pixels say nothing.
    """
    rows = RgbRows(DecodedPicture.of(image))
    whole = Image.new("RGB", rows.size)
    for top, strip in rows.strips():
        whole.paste(strip, (0, top))
    return whole


class RgbRows:
    """The rows of a picture, upright and in sRGB, laid on white where they are transparent.

    Attributes:
        size: width and height, upright.
        has_transparency: whether a row so far had a pixel that is not opaque.

    Raises:
        UnreadablePixels: floating-point numbers that are not from 0 to 1, or whole ones that are not from 0 to 65535.
    """

    def __init__(self, picture: DecodedPicture) -> None:
        self._image, self._profile = picture.image, picture.profile
        self._turn = _TURNS.get(picture.orientation)
        self._sideways = self._turn in _SIDEWAYS
        self.size = self._image.size[::-1] if self._sideways else self._image.size
        self.has_transparency = False
        if self._image.mode in ("F", "I"):
            _check_levels(self._image)

    def strips(self) -> Iterator[tuple[int, Image.Image]]:
        """Yield the strips from top to bottom, each with its first row; beside the image there is no second one."""
        width, height = self.size
        rows = max(1, STRIP_PIXELS // width)
        for top in range(0, height, rows):
            yield top, self._rgb(self._strip(top, min(top + rows, height)))

    def _strip(self, top: int, bottom: int) -> Image.Image:
        (width, height), turn = self._image.size, self._turn
        if turn in _FROM_THE_END:
            top, bottom = self.size[1] - bottom, self.size[1] - top
        box = (top, 0, bottom, height) if self._sideways else (0, top, width, bottom)
        part = self._image if box == (0, 0, width, height) else self._image.crop(box)  # a copy
        return part if turn is None else part.transpose(turn)

    def _rgb(self, strip: Image.Image) -> Image.Image:
        colours, alpha = _colours_and_alpha(strip)
        rgb = conversion(self._profile, colours.mode)(colours) if self._profile else _in_rgb(colours)
        if alpha is None or alpha.getextrema()[0] == 255:
            return rgb
        self.has_transparency = True
        white = Image.new("RGB", rgb.size, "white")
        white.paste(rgb, mask=alpha)
        return white


def _in_rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


def _colours_and_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Part an image into its colours, in `L`, `RGB` or `CMYK`, and how opaque they are, or None for wholly."""
    clear = image.info.get("transparency")  # a colour, or what makes of a palette's entries
    if image.mode == "F":
        return _grey(np.asarray(image) * 255 + 0.5), None
    if image.mode.startswith("I"):
        # 16-bit greyscale: Pillow's own conversion clips at 255 instead of scaling.
        deep = np.asarray(image)
        opaque = None if clear is None else Image.fromarray((deep != clear).astype(np.uint8) * 255)
        return _grey(deep >> 8), opaque
    mode = _WITH_ALPHA.get(image.mode)
    if mode is None and (clear is not None or (image.palette is not None and image.palette.mode == "RGBA")):
        mode = _WITH_ONE_CLEAR_COLOUR.get(image.mode)
    if mode is not None:
        parted = image if image.mode == mode else image.convert(mode)
        return parted.convert("L" if mode == "LA" else "RGB"), parted.getchannel("A")
    if image.mode == "1":
        return image.convert("L"), None
    return (image if image.mode in ("L", "CMYK") else _in_rgb(image)), None


def _grey(levels: np.ndarray) -> Image.Image:
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


def _check_levels(image: Image.Image) -> None:
    """Refuse a picture of 32-bit numbers with one that is darker than black or brighter than white."""
    is_float = image.mode == "F"
    white, slack = (1, FLOAT_SLACK) if is_float else (DEEPEST, 0)
    low, high = _extremes(image)
    if not (low >= -slack and high <= white + slack):
        kind, shown = ("floating-point", ".4g") if is_float else ("whole", ".0f")
        raise UnreadablePixels(
            f"its pixels are {kind} numbers from {low:{shown}} to {high:{shown}}, and only 0 (black) to {white} "
            "(white) is read; scale them, or save the image with 8 or 16 bits"
        )


def _extremes(image: Image.Image) -> tuple[float, float]:
    """Return the lowest and the highest level; either is NaN if a pixel is."""
    low, high = np.inf, -np.inf
    width, height = image.size
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        part = np.asarray(image.crop((0, top, width, min(top + rows, height))))
        low, high = float(np.minimum(low, part.min())), float(np.maximum(high, part.max()))
    return low, high
