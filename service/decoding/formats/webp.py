"""WEBP: a bound on the canvas; orientation and profile are taken out. The reader counts frames, undecoded."""

from __future__ import annotations

import re

from PIL.WebPImagePlugin import WebPImageFile as WebpImageFile

from model.pixels.exif import number, orientation
from service.decoding.formats.picture_file import U16, U32, PictureFile, check_size

START = re.compile(rb"RIFF....WEBP", re.DOTALL)
MAX_CHUNKS = 65_536  # among which marks and profile are looked for; each frame of an animation is one
_HAS_PROFILE, _HAS_EXIF, _HAS_XMP = 0x20, 0x08, 0x04
_MARKS = (b"ICCP", b"EXIF", b"XMP ")


def read(data: bytes, max_pixels: int) -> PictureFile:
    """Check a WEBP.

    Raises:
        TooLarge: the canvas, of which the reader allocates two before it tells its size, has too many pixels.
    """
    kind, body = data[12:16], data[20:30].ljust(10, b"\0")
    found: dict[bytes, bytes] = {}
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(body[at : at + 3], "little") for at in (4, 7))
        if body[0] & (_HAS_PROFILE | _HAS_EXIF | _HAS_XMP):
            found = _marks(data)
    elif kind == b"VP8 ":
        width, height = (number(U16, body, at) & 0x3FFF for at in (6, 8))
    elif kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        width = height = 0  # the reader refuses it
    check_size(width, height, max_pixels)
    profile, exif, xmp = (found.get(mark, b"") for mark in _MARKS)
    return PictureFile(
        "WEBP", data, WebpImageFile, orientation(exif, xmp), profile, frames=None, is_cut=missing_bytes(data) > 0
    )


def missing_bytes(data: bytes) -> int:
    """Return by how many bytes the file is shorter than it says."""
    return max(0, 8 + number(U32, data, 4) - len(data))


def _marks(data: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    place = 12
    for _ in range(MAX_CHUNKS):
        if place + 8 > len(data):
            break
        kind, size = data[place : place + 4], number(U32, data, place + 4)
        if kind in _MARKS:
            found.setdefault(kind, data[place + 8 : place + 8 + size])
        place += 8 + size + size % 2
    return found
