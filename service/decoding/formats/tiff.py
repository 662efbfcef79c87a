"""TIFF: bounds on strips, tiles and tags; the reader gets a directory with nothing but what shows the first page.

Other tags, of which files hold whatever programs left there, would be parsed too, and could refuse the picture.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from PIL.TiffImagePlugin import TiffImageFile

from model.pixels.colour import MAX_PROFILE_BYTES
from model.pixels.exif import ORIENTATION_TAG, DirectoryEntry, DirectoryFormat, directory_format, orientation
from service.decoding.formats.picture_file import MAX_COUNTED_FRAMES, PictureFile, check_count, check_size
from service.errors import InvalidField

START = re.compile(rb"II\*\x00|MM\x00\*|II\+\x00|MM\x00\+")
MAX_TAGS = 4096  # entries of the first directory

_WIDTH, _HEIGHT, _ROWS_PER_STRIP, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 278, 322, 323
_STRIP_PLACES, _STRIP_BYTES, _TILE_PLACES, _TILE_BYTES = 273, 279, 324, 325
_COMPRESSION, _SAMPLES, _PLANES = 259, 277, 284
_UNCOMPRESSED, _OLD_JPEG = 1, 6
_XMP, _PROFILE = 700, 34675
# Tags without which no reader can show the picture: pixels, strips and tiles, compression and its tables, palette.
_KEPT = {
    *range(254, 260), 262, 263, 266, 273, *range(277, 282), 284, 292, 293, 297, 301, 317, *range(320, 326), 332,
    334, 338, 339, 340, 341, 347, *range(512, 522), *range(529, 533), 34887, 37439, 50674, 0xBC01,
}  # fmt: skip
_UNSIGNED = {1: 1, 3: 2, 4: 4, 16: 8}  # bytes of a number, by the type of values


def read(data: bytes, max_pixels: int) -> PictureFile:
    """Check a TIFF.

    Raises:
        InvalidField: too many tags, or not all of the picture's strips or tiles are there.
        TooLarge: a part that the reader would allocate has too many pixels.
    """
    form = directory_format(data)
    assert form is not None  # `START` has seen to it
    start = form.first(data)
    check_count(form.count(data, start), MAX_TAGS, "tags (TIFF)")
    entries = list(form.entries(data, start))
    _check_parts(data, form, entries, max_pixels)
    by_tag = {entry.tag: entry for entry in reversed(entries)}  # of those that come twice the first, as Pillow does
    mark = by_tag.get(ORIENTATION_TAG)
    upright = orientation(b"", _bytes_of(data, form, by_tag.get(_XMP)))
    return PictureFile(
        "TIFF",
        _with_new_directory(data, form, [by_tag[tag] for tag in sorted(_KEPT & by_tag.keys())]),
        TiffImageFile,
        mark.value if mark is not None and mark.is_number and 1 <= mark.value <= 8 else upright,
        _bytes_of(data, form, by_tag.get(_PROFILE)),
        sum(1 for _ in _pages(data, form)) or 1,
    )


def _check_parts(data: bytes, form: DirectoryFormat, entries: Sequence[DirectoryEntry], max_pixels: int) -> None:
    largest: dict[int, int] = {}
    for entry in entries:  # a tag that comes twice is read differently by Pillow and by libtiff
        if entry.is_number:
            largest[entry.tag] = max(entry.value, largest.get(entry.tag, 0))
    width, height = largest.get(_WIDTH, 0), largest.get(_HEIGHT, 0)
    check_size(width, height, max_pixels)
    rows = min(largest.get(_ROWS_PER_STRIP, height), height)
    check_size(width, rows, max_pixels, "image: a strip")
    tile = largest.get(_TILE_WIDTH, 0), largest.get(_TILE_HEIGHT, 0)
    check_size(*tile, max_pixels, "image: a tile")
    compression = largest.get(_COMPRESSION, _UNCOMPRESSED)
    if compression == _OLD_JPEG:
        return  # whose strips are said in other ways
    by_tag = {entry.tag: entry for entry in reversed(entries)}
    if compression == _UNCOMPRESSED:  # whose sizes are known, so many programs write none, or wrong ones
        by_tag = {tag: entry for tag, entry in by_tag.items() if tag not in (_STRIP_BYTES, _TILE_BYTES)}
    planes = largest.get(_SAMPLES, 1) if largest.get(_PLANES, 1) == 2 else 1
    if _STRIP_PLACES in by_tag:
        needed = -(-height // max(1, rows)) * planes
        _check_whole(data, form, by_tag[_STRIP_PLACES], by_tag.get(_STRIP_BYTES), needed, "strips")
    elif _TILE_PLACES in by_tag and all(tile):
        needed = -(-width // tile[0]) * -(-height // tile[1]) * planes
        _check_whole(data, form, by_tag[_TILE_PLACES], by_tag.get(_TILE_BYTES), needed, "tiles")


def _check_whole(
    data: bytes, form: DirectoryFormat, places: DirectoryEntry, sizes: DirectoryEntry | None, needed: int, what: str
) -> None:
    """Refuse a picture of which parts are not in the file; a reader would leave them black."""
    there = _numbers_of(data, form, places)[:needed]
    lengths = np.ones_like(there) if sizes is None else _numbers_of(data, form, sizes)[:needed]
    count = min(len(there), len(lengths))
    ends = there[:count] + np.minimum(lengths[:count], 2**62)
    whole = int(np.count_nonzero((there[:count] > 0) & (lengths[:count] > 0) & (ends <= len(data))))
    if whole < needed:
        raise InvalidField(f"image: cut short; {needed - whole} of its {needed} {what} are missing (TIFF)")


def _numbers_of(data: bytes, form: DirectoryFormat, entry: DirectoryEntry) -> np.ndarray:
    size = _UNSIGNED.get(entry.kind, 0)
    if entry.count == 1:
        return np.array([min(entry.value, 2**62)], np.int64)
    if not size or entry.count * size > len(data):
        return np.zeros(0, np.int64)
    raw = np.frombuffer(_values(data, form, entry, size), f"{form.order}u{size}")
    return np.minimum(raw.astype(np.uint64), 2**62).astype(np.int64)


def _values(data: bytes, form: DirectoryFormat, entry: DirectoryEntry, size: int) -> bytes:
    """Return the bytes of an entry's values, which are in the entry itself if there is room."""
    length, room = entry.count * size, form.place.size
    start = entry.start + form.entry_bytes - room if length <= room else entry.value
    return data[start : start + length][: length // size * size] if start + length <= len(data) else b""


def _bytes_of(data: bytes, form: DirectoryFormat, entry: DirectoryEntry | None) -> bytes:
    if entry is None or entry.kind not in (1, 7) or not 4 < entry.count <= MAX_PROFILE_BYTES:
        return b""
    return _values(data, form, entry, 1)


def _with_new_directory(data: bytes, form: DirectoryFormat, entries: Sequence[DirectoryEntry]) -> bytes:
    """Return the file with a first directory of these entries behind its end, and no other page."""
    end = len(data) + len(data) % 2
    place_at = 8 if form.is_big else 4
    directory = [data[entry.start : entry.start + form.entry_bytes] for entry in entries]
    view = memoryview(data)
    return b"".join([
        view[:place_at],
        form.place.pack(end),
        view[place_at + form.place.size :],
        bytes(len(data) % 2),
        form.counter.pack(len(entries)),
        *directory,
        form.place.pack(0),
    ])  # fmt: skip


def _pages(data: bytes, form: DirectoryFormat) -> Iterator[int]:
    """Yield the places of the directories, one for each page, as far as they are counted."""
    seen: set[int] = set()
    place = form.first(data)
    while 0 < place < len(data) and place not in seen and len(seen) < MAX_COUNTED_FRAMES:
        seen.add(place)
        yield place
        place = form.following(data, place)
