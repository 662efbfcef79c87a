"""GIF: bounds on blocks and on the first frame; frames are counted, undecoded."""

from __future__ import annotations

import re
from functools import partial

from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from model.pixels.exif import number
from service.decoding.formats.picture_file import (
    MAX_COUNTED_FRAMES,
    U16,
    Corrected,
    PictureFile,
    as_it_is,
    check_count,
    check_size,
)

START = re.compile(rb"GIF8[79]a")
MAX_BLOCKS = 65_536  # sub-blocks of comments and application data before the first frame, 255 bytes at most
MAX_COUNTED_BLOCKS = 1_000_000  # sub-blocks that are skipped while frames are counted, in about 0.1 s
_EXTENSION, _FRAME = b"!", b","


def read(data: bytes, max_pixels: int) -> PictureFile:
    """Check a GIF.

    Raises:
        InvalidField: too many blocks before the picture.
        TooLarge: the first frame has too many pixels.
    """
    place = _first_frame(data)
    corrected: Corrected = as_it_is
    if data[place : place + 1] == _FRAME:
        left, top, width, height = (number(U16, data, place + at) for at in (1, 3, 5, 7))
        check_size(left + width, top + height, max_pixels, "image: its first frame")
        corrected = partial(_clear_outside, (left, top, left + width, top + height))
    frames, is_cut = _count_frames(data, place)
    return PictureFile("GIF", data, GifImageFile, frames=max(1, frames), is_cut=is_cut, corrected=corrected)


def _clear_outside(box: tuple[int, int, int, int], image: Image.Image, _: bytes) -> Image.Image:
    """Leave clear what the first frame does not cover; Pillow paints it in the first colour of the palette."""
    if box == (0, 0, *image.size) or "transparency" in image.info:  # with a clear colour that is what Pillow takes
        return image
    whole = Image.new("RGBA", image.size)
    whole.paste(image.crop(box).convert("RGBA"), box[:2])
    return whole


def _first_frame(data: bytes) -> int:
    place, blocks = 13 + _colour_table_bytes(data, 10), 0
    while data[place : place + 1] == _EXTENSION:
        place += 2
        while size := data[place] if place < len(data) else 0:
            blocks += 1
            check_count(blocks, MAX_BLOCKS, "blocks before the picture (GIF)")
            place += 1 + size
        blocks += 1  # an extension without any
        place += 1
        check_count(blocks, MAX_BLOCKS, "blocks before the picture (GIF)")
    return place


def _count_frames(data: bytes, place: int) -> tuple[int, bool]:
    """Count frames from the first one on, and say whether the file ends before its last mark."""
    frames = blocks = 0
    while frames < MAX_COUNTED_FRAMES:
        kind = data[place : place + 1]
        if kind == _FRAME:
            frames += 1
            place += 11 + _colour_table_bytes(data, place + 9)  # with the byte that says how codes are packed
        elif kind == _EXTENSION:
            place += 2
        else:
            return frames, not kind
        while place < len(data) and (size := data[place]):
            place += 1 + size
            blocks += 1
            if blocks > MAX_COUNTED_BLOCKS:
                return frames, False
        place += 1
        blocks += 1
    return frames, False


def _colour_table_bytes(data: bytes, place: int) -> int:
    flags = data[place] if place < len(data) else 0
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0
