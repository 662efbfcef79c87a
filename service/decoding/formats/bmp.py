"""BMP: a bound on run-length codes, and an alpha channel that means nothing."""

from __future__ import annotations

import re

from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile

from model.pixels.exif import number
from service.decoding.formats.picture_file import U16, U32, PictureFile, check_count

START = re.compile(rb"BM")
MAX_RUN_BYTES = 2 * 1024**2  # codes of two bytes are read one by one, a second for a million


def read(data: bytes, _: int) -> PictureFile:
    """Check a BMP.

    Raises:
        InvalidField: too many run-length codes.
    """
    if number(U16, data, 14) >= 40 and number(U16, data, 30) in (1, 2):  # RLE8, RLE4
        check_count(len(data) - number(U32, data, 10), MAX_RUN_BYTES, "bytes of run-length codes (BMP)")
    return PictureFile("BMP", data, BmpImageFile, corrected=_without_unused_alpha)


def _without_unused_alpha(image: Image.Image, _: bytes) -> Image.Image:
    """Drop an alpha channel of nothing but zeros: programs left it empty before it meant anything."""
    if image.mode == "RGBA" and image.getchannel("A").getextrema()[1] == 0:
        return image.convert("RGB")
    return image
