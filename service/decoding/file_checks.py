"""Checks of image files before a reader parses them: what it would allocate, and how much of it is no picture.

Owns the bounds on what a file may hold beside its pixels. Knows the containers only, no compression; what it does not
find, the decoder's limits on time and memory stop. Every function is pure and its time is bounded by these bounds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from struct import Struct

from service.errors import InvalidField, TooLarge

# libjpeg's and mozjpeg's scripts make 6 to 13 scans; ten times that is still read. Each scan goes over the whole image.
MAX_JPEG_SCANS = 128
# A profile has up to 255 segments and extended XMP some hundreds; each takes the reader a call.
MAX_JPEG_SEGMENTS = 4096
MAX_JPEG_JUNK_BYTES = 65_536  # padding and stray bytes between segments, which are read one by one
MAX_PNG_CHUNKS = 16_384  # IDAT among them, of which libpng makes one for 8 KiB, and of 20 MB 2,500
MAX_GIF_BLOCKS = 65_536  # sub-blocks of comments and application data before the first frame, 255 bytes at most
MAX_BMP_RUN_BYTES = 2 * 1024**2  # codes of two bytes are read one by one, a second for a million
MAX_TIFF_TAGS = 4096  # entries of the first directory
# No photograph is longer, and neither JPEG nor GIF can hold more. A needle one pixel wide would grow to a tile's width
# times its height, since resizing goes across first.
MAX_SIDE_PX = 65_535

_MARKER = re.compile(rb"\xff[^\x00\xff]")
_SCAN_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")  # not those that stand alone inside of a scan
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_WITHOUT_LENGTH = {0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)}  # markers after which the reader skips nothing
_BIG_U16, _BIG_U32, _U16 = Struct(">H"), Struct(">I"), Struct("<H")


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


def check_file(data: bytes, max_pixels: int) -> None:
    """Refuse a file whose structure would take its reader too long, or too much memory.

    Raises:
        InvalidField: too many scans, segments, chunks or blocks.
        TooLarge: a part that the reader would allocate has too many pixels.
    """
    for start, check in _CHECKS:
        if data.startswith(start):
            check(data, max_pixels)


def _check_jpeg(data: bytes, _: int) -> None:
    place = _check_jpeg_segments(data)
    if data.count(b"\xff\xda", place) > MAX_JPEG_SCANS:  # an upper bound, at the speed of memory
        scans = sum(1 for _ in zip(_jpeg_scans(data, place), range(MAX_JPEG_SCANS + 1), strict=False))
        _bound(scans, MAX_JPEG_SCANS, "scans (JPEG)")


def _check_jpeg_segments(data: bytes) -> int:
    """Check what comes before the first scan, and return the scan's place."""
    place, segments, junk = 2, 0, 0
    while (found := _MARKER.search(data, place, place + MAX_JPEG_JUNK_BYTES)) is not None:
        junk += found.start() - place
        place = found.start()
        if found[0][1] == _START_OF_SCAN:
            return place
        segments += 1
        _bound(segments, MAX_JPEG_SEGMENTS, "segments before the picture (JPEG)")
        _bound(junk, MAX_JPEG_JUNK_BYTES, "stray bytes before the picture (JPEG)")
        place += 2 if found[0][1] in _WITHOUT_LENGTH else 2 + _number(_BIG_U16, data, place + 2)
    _bound(len(data) - place, MAX_JPEG_JUNK_BYTES, "stray bytes before the picture (JPEG)")
    return len(data)


def _jpeg_scans(data: bytes, place: int) -> Iterator[int]:
    """Yield the places of the scans; a segment between two of them is skipped whole."""
    segments = 0
    while (found := _SCAN_MARKER.search(data, place)) is not None and found[0][1] != _END_OF_IMAGE:
        if found[0][1] == _START_OF_SCAN:
            yield found.start()
        segments += 1
        _bound(segments, MAX_JPEG_SEGMENTS, "segments (JPEG)")
        place = found.end() + _number(_BIG_U16, data, found.end())


def _check_png(data: bytes, _: int) -> None:
    place, chunks = 8, 0
    while place + 8 <= len(data):
        chunks += 1
        _bound(chunks, MAX_PNG_CHUNKS, "chunks (PNG)")
        place += 12 + _number(_BIG_U32, data, place)


def _check_gif(data: bytes, max_pixels: int) -> None:
    place, blocks = 13 + _colour_table_bytes(data, 10), 0
    while data[place : place + 1] == b"!":
        place += 2
        while size := data[place] if place < len(data) else 0:
            blocks += 1
            _bound(blocks, MAX_GIF_BLOCKS, "blocks before the picture (GIF)")
            place += 1 + size
        blocks += 1  # an extension without any
        place += 1
        _bound(blocks, MAX_GIF_BLOCKS, "blocks before the picture (GIF)")
    if data[place : place + 1] == b",":
        left, top, width, height = (_number(_U16, data, place + at) for at in (1, 3, 5, 7))
        check_size(left + width, top + height, max_pixels, "image: its first frame")


def _colour_table_bytes(data: bytes, place: int) -> int:
    flags = data[place] if place < len(data) else 0
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _check_bmp(data: bytes, _: int) -> None:
    if _number(_U16, data, 14) >= 40 and _number(_U16, data, 30) in (1, 2):  # RLE8, RLE4
        codes = len(data) - _number(Struct("<I"), data, 10)
        _bound(codes, MAX_BMP_RUN_BYTES, "bytes of run-length codes (BMP)")


def _check_webp(data: bytes, max_pixels: int) -> None:
    """Check the canvas: the reader allocates two of that size before it tells it."""
    kind, body = data[12:16], data[20:30].ljust(10, b"\0")
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(body[at : at + 3], "little") for at in (4, 7))
    elif kind == b"VP8 ":
        width, height = (_number(_U16, body, at) & 0x3FFF for at in (6, 8))
    elif kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        return  # the reader refuses it
    check_size(width, height, max_pixels)


# TIFF: the tags whose values say how much a strip or a tile takes.
_WIDTH, _HEIGHT, _ROWS_PER_STRIP, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 278, 322, 323
_LENGTHS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 16: "Q", 17: "q"}  # by type; of one number in an entry


def _check_tiff(data: bytes, max_pixels: int) -> None:
    largest: dict[int, int] = {}
    for tag, value in _tiff_tags(data):  # a tag that comes twice is read differently by Pillow and by libtiff
        largest[tag] = max(value, largest.get(tag, 0))
    width, height = largest.get(_WIDTH, 0), largest.get(_HEIGHT, 0)
    check_size(width, height, max_pixels)
    rows = min(largest.get(_ROWS_PER_STRIP, height), height)
    check_size(width, rows, max_pixels, "image: a strip")
    tile = largest.get(_TILE_WIDTH, 0), largest.get(_TILE_HEIGHT, 0)
    check_size(*tile, max_pixels, "image: a tile")


def _tiff_tags(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield tag and value of the first directory's entries of one number."""
    order, big = "<" if data[:1] == b"I" else ">", 43 in data[2:4]
    where, counter, entry_bytes, value_at = (8, "Q", 20, 12) if big else (4, "I", 12, 8)
    start = _number(Struct(order + counter), data, where)
    if not start:
        return
    count_format = Struct(order + ("Q" if big else "H"))
    count = _number(count_format, data, start)
    _bound(count, MAX_TIFF_TAGS, "tags (TIFF)")
    head = Struct(order + "HH")
    for place in range(start + count_format.size, start + count_format.size + count * entry_bytes, entry_bytes):
        if place + entry_bytes > len(data):
            return
        tag, kind = head.unpack_from(data, place)
        if letter := _LENGTHS.get(kind):
            yield tag, _number(Struct(order + letter), data, place + value_at)


def _number(form: Struct, data: bytes, place: int) -> int:
    """Return the number at a place, or 0 behind the end, where every reader stops."""
    return int(form.unpack_from(data, place)[0]) if 0 <= place <= len(data) - form.size else 0


def _bound(count: int, most: int, what: str) -> None:
    if count > most:
        raise InvalidField(f"image: the file has more than the {most} {what} that are read; save it anew")


_CHECKS: tuple[tuple[bytes, Callable[[bytes, int], None]], ...] = (
    (b"\xff\xd8\xff", _check_jpeg),
    (b"\x89PNG\r\n\x1a\n", _check_png),
    (b"GIF8", _check_gif),
    (b"BM", _check_bmp),
    (b"RIFF", _check_webp),
    *((start, _check_tiff) for start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
)
