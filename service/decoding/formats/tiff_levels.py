"""Grey TIFF of more than 8 bits, as far as Pillow leaves it otherwise than the file means it.

It reads 12 bits as the lowest of 16, numbers with a sign as if their white were that of those without, ignores that 0
is white, and takes what libtiff has put into the machine's byte order for the file's. Pure.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from PIL import Image

from model.pixels.rgb import DEEPEST, UnreadablePixels

DEEP_BITS = (12, 16, 32)
SIGNED_BITS = (8, 16)  # of which half the numbers are below 0; those of 32 bits go to 65535, as without a sign


@dataclass(frozen=True, slots=True)
class DeepGrey:
    """The numbers of a picture, and what the reader makes of them.

    Attributes:
        bits: of each number.
        is_negative: 0 is white.
        is_swapped: the bytes of numbers that have a sign come in the wrong order.
        is_signed: white is the highest number that has a sign, 127 or 32767.
    """

    bits: int
    is_negative: bool
    is_swapped: bool
    is_signed: bool = False

    @classmethod
    def of(cls, bits: int, order: str, *, is_negative: bool, is_packed: bool, is_signed: bool = False) -> DeepGrey:
        """Describe a picture by its file: bits of a number, the order of bytes as `struct` writes it, and the rest."""
        native = "<" if sys.byteorder == "little" else ">"
        return cls(bits, is_negative, is_packed and order != native, is_signed and bits in SIGNED_BITS)

    def corrected(self, image: Image.Image, _: bytes = b"") -> Image.Image:
        """Return the image as the file means it: 0 is black, and 65535, 255 of 8 bits, or 1 is white.

        Raises:
            UnreadablePixels: a number is below 0.
        """
        is_float = image.mode == "F"
        swapped = self.is_swapped and image.mode in ("F", "I")
        if not (swapped or self.is_negative or self.is_signed or self.bits == 12):
            return image
        levels = np.asarray(image)
        if swapped:
            narrow = levels if is_float else levels.astype(f"i{self.bits // 8}")
            levels = narrow.byteswap().astype(levels.dtype)
        if self.bits == 12:
            levels = levels << 4 | levels >> 8
        if self.is_signed:
            levels = _without_sign(levels, self.bits)
        if self.is_negative:
            levels = (1 if is_float else 255 if self.bits == 8 else DEEPEST) - levels
        return Image.fromarray(levels)


def _without_sign(levels: np.ndarray, bits: int) -> np.ndarray:
    """Scale numbers that have a sign, of which the highest is white, to those of as many bits without one."""
    signed = levels.view(np.int8) if bits == 8 else levels
    low, high = int(signed.min()), int(signed.max())
    if low < 0:
        raise UnreadablePixels(
            f"its pixels are numbers with a sign from {low} to {high}, and only 0 (black) to {2 ** (bits - 1) - 1} "
            "(white) is read; scale them, or save the image without a sign"
        )
    return levels << 1 | levels >> bits - 2
