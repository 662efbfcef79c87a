"""Grey TIFF of more than 8 bits, as far as Pillow leaves it otherwise than the file means it.

It reads 12 bits as the lowest of 16, ignores that 0 is white, and takes what libtiff has put into the machine's byte
order for the file's. Pure.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from PIL import Image

from model.pixels.rgb import DEEPEST

DEEP_BITS = (12, 16, 32)


@dataclass(frozen=True, slots=True)
class DeepGrey:
    """The numbers of a picture, and what the reader makes of them.

    Attributes:
        bits: of each number.
        is_negative: 0 is white.
        is_swapped: the bytes of numbers that have a sign come in the wrong order.
    """

    bits: int
    is_negative: bool
    is_swapped: bool

    @classmethod
    def of(cls, bits: int, order: str, *, is_negative: bool, is_packed: bool) -> DeepGrey:
        """Describe a picture by its file: bits of a number, the order of bytes as `struct` writes it, and the rest."""
        native = "<" if sys.byteorder == "little" else ">"
        return cls(bits, is_negative, is_packed and order != native)

    def corrected(self, image: Image.Image) -> Image.Image:
        """Return the image as the file means it: 0 is black, and 65535 or 1 is white."""
        is_float, is_signed = image.mode == "F", image.mode == "I"
        swapped = self.is_swapped and (is_float or is_signed)
        if not (swapped or self.is_negative or self.bits == 12):
            return image
        levels = np.asarray(image)
        if swapped:
            narrow = levels if is_float else levels.astype(f"i{self.bits // 8}")
            levels = narrow.byteswap().astype(levels.dtype)
        if self.bits == 12:
            levels = levels << 4 | levels >> 8
        if self.is_negative:
            levels = (1 if is_float else DEEPEST) - levels
        return Image.fromarray(levels)
