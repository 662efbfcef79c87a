"""A checked image file: the bytes that show the picture, how to read them, and what else was found beside them.

Also the bounds that all formats share. Knows no format. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from struct import Struct

from PIL import Image
from PIL.ImageFile import ImageFile

from model.pixels.exif import UPRIGHT
from service.errors import InvalidField, TooLarge

# No photograph is longer, and neither JPEG nor GIF can hold more. A needle one pixel wide would grow to a tile's width
# times its height, since resizing goes across first.
MAX_SIDE_PX = 65_535
MAX_COUNTED_FRAMES = 10_000  # of an animation or a document; more are not counted

BIG_U16, BIG_U32, U16, U32 = Struct(">H"), Struct(">I"), Struct("<H"), Struct("<I")

Reader = Callable[[BytesIO, str], ImageFile]
Corrected = Callable[[Image.Image, bytes], Image.Image]  # of the decoded image, and the data that it was decoded from


def as_it_is(image: Image.Image, _: bytes) -> Image.Image:
    """Return an image that its reader has read as the file means it."""
    return image


@dataclass(frozen=True, slots=True)
class PictureFile:
    """An image file, checked.

    Attributes:
        format: its name, as answers tell it.
        data: the file, or what of it shows the picture.
        reader: opens `data`.
        orientation: the camera's mark, from 1 to 8; None if the reader knows it.
        profile: the ICC profile; None if the reader knows it.
        frames: how many there are, as far as they are counted; None if the reader knows it.
        clear: the colour that is transparent, as Pillow writes it.
        is_cut: its end is missing, behind a picture that may be whole.
        corrected: makes of the decoded image what the file means, where the reader does not.
    """

    format: str
    data: bytes
    reader: Reader
    orientation: int | None = UPRIGHT
    profile: bytes | None = b""
    frames: int | None = 1
    clear: int | tuple[int, ...] | None = None
    is_cut: bool = False
    corrected: Corrected = as_it_is


def check_size(width_px: int, height_px: int, max_pixels: int, what: str = "image") -> None:
    """Refuse a picture, or a part of one, of too many pixels.

    Raises:
        TooLarge: more than `max_pixels`, or a side longer than `MAX_SIDE_PX`.
    """
    if width_px * height_px > max_pixels:
        raise TooLarge(
            f"{what}: {width_px} x {height_px} pixels are more than the {max_pixels} allowed; make it smaller"
        )
    if max(width_px, height_px) > MAX_SIDE_PX:
        raise TooLarge(f"{what}: {width_px} x {height_px} pixels: no side may be longer than {MAX_SIDE_PX}")


def check_count(count: int, most: int, what: str) -> None:
    """Refuse a file that holds more of something than is read.

    Raises:
        InvalidField: so it is.
    """
    if count > most:
        raise InvalidField(f"image: the file has more than the {most} {what} that are read; save it anew")
