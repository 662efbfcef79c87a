"""The formats that are read, and which of them a file is: judged by its first bytes, never by a name."""

from __future__ import annotations

import re
from collections.abc import Callable

from service.decoding.formats import bmp, gif, heif, jpeg, png, tiff, webp
from service.decoding.formats.picture_file import PictureFile
from service.errors import UnsupportedImage

READABLE = "JPEG, PNG, WEBP, AVIF, GIF, BMP or TIFF"
_FORMATS: tuple[tuple[re.Pattern[bytes], Callable[[bytes, int], PictureFile]], ...] = tuple(
    (form.START, form.read) for form in (jpeg, png, webp, gif, bmp, tiff, heif)
)


def readable_formats() -> list[str]:
    """Name the formats that this installation reads, as an image's facts name them.

    >>> readable_formats()[:4]
    ['JPEG', 'PNG', 'WEBP', 'AVIF']
    """
    names = READABLE.replace(" or ", ", ").split(", ")
    return [*names, "HEIC"] if heif.HAS_HEIC else names


def read_file(data: bytes, max_pixels: int) -> PictureFile:
    """Check a file, and leave out what shows nothing of the picture.

    Args:
        data: the bytes of the file.
        max_pixels: most pixels of anything that a reader would allocate.

    Raises:
        UnsupportedImage: of no format that is read here.
        InvalidField: too much beside the picture, or a part of it is missing.
        TooLarge: too many pixels.
    """
    for start, read in _FORMATS:
        if start.match(data):
            return read(data, max_pixels)
    raise UnsupportedImage(f"image: not of a format that is read here; send {READABLE}")
