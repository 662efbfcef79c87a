"""Files whose end is missing: how much of the picture is missing with it, and what is there.

A file is continued in two ways. What both show was in it; from the first place at which they differ, it is lost. Knows
how files go on, and leaves decoding to others. Pure.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from model.pixels.exif import number
from model.pixels.rgb import DecodedPicture
from service.decoding.formats import jpeg, png, webp
from service.decoding.formats.picture_file import PictureFile

MAX_LOST_SHARE = 0.01  # of the picture's pixels, in the order in which the file holds them, that may be missing
MAX_FILLED_BYTES = 65_536
BAND_PX = 16  # rows that are coded together, at most
STRIP_ROWS = 512
STEP_BYTES = 65_536  # of packed data that are unpacked together: at most 64 MiB

Decode = Callable[[bytes], DecodedPicture]

# Bytes that go on like picture data, without marks.
_FILLER = bytes(random.Random(0).choices(range(1, 255), k=4096))  # noqa: S311
_PNG_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
# By the kind of pixels: samples, and the bits that each may have.
_PNG_PIXELS = {0: (1, (1, 2, 4, 8, 16)), 2: (3, (8, 16)), 3: (1, (1, 2, 4, 8)), 4: (2, (8, 16)), 6: (4, (8, 16))}


@dataclass(frozen=True, slots=True)
class Continuation:
    """Two files that begin as the one that is cut; `second` is None if nothing that can be seen is missing."""

    first: bytes
    second: bytes | None


def continued(file: PictureFile) -> Continuation | None:
    """Continue a file, or return None if more than its end is missing, or it is of a format that is not continued."""
    goes_on = {"JPEG": _jpeg, "WEBP": _webp, "PNG": _png}.get(file.format)
    return goes_on(file.data) if goes_on else None


def lost_share(first: Image.Image, second: Image.Image) -> float:
    """Return the share of the picture from the first place on at which two images differ, in the order of coding."""
    width, height = first.size
    if second.size != first.size or second.mode != first.mode:
        return 1.0
    for top in range(0, height, STRIP_ROWS):
        box = (0, top, width, min(top + STRIP_ROWS, height))
        differs = np.asarray(first.crop(box)) != np.asarray(second.crop(box))
        differs = differs.any(axis=-1) if differs.ndim == 3 else differs
        if differs.any():
            # Colours are smoothed across the edge of a band, by a pixel.
            row = (int(differs.any(axis=1).argmax()) + 1) // BAND_PX * BAND_PX
            row = min(row, len(differs) - 1)
            column = int(differs[row : row + BAND_PX].any(axis=0).argmax())
            below = max(0, height - top - row - BAND_PX)
            return (below * width + min(BAND_PX, height - top - row) * (width - column)) / (width * height)
    return 0.0


def decoded_all_but_the_end(file: PictureFile, decode: Decode) -> DecodedPicture | None:
    """Decode a file whose end is missing, or return None if too much of the picture is missing with it.

    Args:
        file: what could not be decoded.
        decode: from a file's bytes to its picture.

    Raises:
        Exception: as `decode` does.
    """
    continuation = continued(file)
    if continuation is None:
        return None
    first = decode(continuation.first)
    if continuation.second is not None:
        second = decode(continuation.second)
        if lost_share(first.image, second.image) > MAX_LOST_SHARE:
            return None
    return first


def _jpeg(data: bytes) -> Continuation | None:
    body = data.rstrip(b"\xff")  # half of a mark
    state = _scan_state(body)
    if state is None:
        return None
    whole = body + jpeg.END_OF_IMAGE
    return Continuation(whole, None if state else body + _FILLER + jpeg.END_OF_IMAGE)


def _scan_state(data: bytes) -> bool | None:
    """Say of a JPEG's scans: None if some never began, True if the last one only refines what is there already.

    Each component needs every coefficient (0 to 63) to its last bit.
    """
    missing: set[tuple[int, int]] | None = None
    refines = False
    for place in jpeg.scan_places(data, 2):
        count = data[place + 4] if place + 4 < len(data) else 0
        head = data[place + 5 : place + 8 + 2 * count]
        if not count or len(head) < 2 * count + 3:
            return None
        if missing is None:
            missing = {(component, each) for component in _components(data) for each in range(64)}
        first, last, bits = head[2 * count :]
        refines = bits >> 4 > 0 and first > 0
        if not bits & 15:
            missing -= {(component, each) for component in head[: 2 * count : 2] for each in range(first, last + 1)}
    return None if missing is None or missing else refines


def _components(data: bytes) -> bytes:
    """Return the names of a JPEG's components, which its frame header holds."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        if data[place + 1] in {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}:
            return data[place + 10 : place + 10 + 3 * data[place + 9] : 3]
        place += 2 + number(struct.Struct(">H"), data, place + 2)
    return b""


def _webp(data: bytes) -> Continuation | None:
    missing = webp.missing_bytes(data)
    if not 0 < missing <= min(MAX_FILLED_BYTES, len(data)):
        return None
    filler = (_FILLER * (1 + missing // len(_FILLER)))[:missing]
    return Continuation(data + bytes(missing), data + filler)


def _png(data: bytes) -> Continuation | None:
    """Pack anew what is there of the rows; missing ones are black."""
    headers = [data[start + 8 : end - 4] for kind, start, end in png.chunks(data) if kind == b"IHDR"]
    if len(headers) != 1 or len(headers[0]) != 13:
        return None
    width, height, depth, pixels, _, _, interlaced = struct.unpack(">IIBBBBB", headers[0])
    samples, depths = _PNG_PIXELS.get(pixels, (0, ()))
    if depth not in depths:  # nothing is unpacked by numbers that no reader takes
        return None
    sizes = _passes(width, height, interlaced)
    packed = _packed_anew(data, sum(rows * (1 + -(-columns * depth * samples // 8)) for columns, rows in sizes))
    if packed is None:
        return None
    kept = [data[begin:end] for kind, begin, end in png.chunks(data) if kind not in (b"IDAT", b"IEND")]
    whole = b"".join([data[:8], *kept, png.chunk(b"IDAT", packed), png.chunk(b"IEND", b"")])
    return Continuation(whole, None)


def _passes(width: int, height: int, interlaced: int) -> list[tuple[int, int]]:
    """Return columns and rows of each pass over the picture; a pass without columns has no rows."""
    if not interlaced:
        return [(width, height)]
    sizes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in _PNG_PASSES]
    return [(columns, rows) for columns, rows in sizes if columns > 0 and rows > 0]


def _packed_anew(data: bytes, needed: int) -> bytes | None:
    """Pack so many bytes of rows anew, as far as they are there; None if too many are missing."""
    unpacking, packing, pieces, left = zlib.decompressobj(), zlib.compressobj(1), list[bytes](), needed
    for step in _packed_steps(data):
        if not left:
            break
        try:
            rows = unpacking.decompress(step, left)
        except zlib.error:
            break
        left -= len(rows)
        pieces.append(packing.compress(rows))
    if left > MAX_LOST_SHARE * needed:
        return None
    return b"".join([*pieces, packing.compress(bytes(left)), packing.flush()])


def _packed_steps(data: bytes) -> Iterator[bytes]:
    """Yield the packed rows in steps, so that neither they nor what is in them are in memory a second time."""
    for kind, start, end in png.chunks(data):
        if kind == b"IDAT":
            # The data of the last chunk may be cut; that of the others ends before its checksum.
            last = min(len(data), end - 4)
            for place in range(start + 8, last, STEP_BYTES):
                yield data[place : min(place + STEP_BYTES, last)]
