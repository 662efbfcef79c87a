"""TIFF: bounds on strips, tiles and tags; the reader gets a directory with nothing but what shows the first page.

Other tags, of which files hold whatever programs left there, would be parsed too, and could refuse the picture.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

import numpy as np
from PIL.TiffImagePlugin import TiffImageFile

from model.pixels.colour import MAX_PROFILE_BYTES
from model.pixels.exif import ORIENTATION_TAG, DirectoryEntry, DirectoryFormat, directory_format, orientation
from service.decoding.formats.picture_file import MAX_COUNTED_FRAMES, PictureFile, as_it_is, check_count, check_size
from service.decoding.formats.tiff_levels import DEEP_BITS, SIGNED_BITS, DeepGrey
from service.decoding.formats.tiff_planes import MOST_SAMPLES, Planes
from service.errors import InvalidField, UnsupportedImage

START = re.compile(rb"II\*\x00|MM\x00\*|II\+\x00|MM\x00\+")
MAX_TAGS = 4096  # entries of the first directory

_WIDTH, _HEIGHT, _ROWS_PER_STRIP, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 278, 322, 323
_STRIP_PLACES, _STRIP_BYTES, _TILE_PLACES, _TILE_BYTES = 273, 279, 324, 325
_BITS, _COMPRESSION, _MEANING, _SAMPLES, _PLANES, _SIGN = 258, 259, 262, 277, 284, 339
_UNCOMPRESSED, _OLD_JPEG = 1, 6
_WHITE_IS_ZERO, _BLACK_IS_ZERO = 0, 1
_UNSIGNED_NUMBERS, _SIGNED_NUMBERS = 1, 2
_SEPARATE, _SIDE_BY_SIDE = 2, 1  # planes
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
        UnsupportedImage: planes or numbers in an order that no reader here knows.
        TooLarge: a part that the reader would allocate has too many pixels.
    """
    form = directory_format(data)
    assert form is not None  # `START` has seen to it
    if form.is_big and form.order == ">":  # whose directories Pillow takes for those of another TIFF
        raise UnsupportedImage("image: a BigTIFF in big-endian order is not read here; save it as TIFF or PNG")
    start = form.first(data)
    check_count(form.count(data, start), MAX_TAGS, "tags (TIFF)")
    entries = list(form.entries(data, start))
    _check_parts(data, form, entries, max_pixels)
    by_tag = {entry.tag: entry for entry in reversed(entries)}  # of those that come twice the first, as Pillow does
    mark = by_tag.get(ORIENTATION_TAG)
    upright = orientation(b"", _bytes_of(data, form, by_tag.get(_XMP)))
    numbers = {tag: entry.value for tag, entry in by_tag.items() if entry.is_number}
    kept = {tag: data[entry.start : entry.start + form.entry_bytes] for tag, entry in by_tag.items() if tag in _KEPT}
    grey, parts = _deep_grey(form, numbers), _merged_planes(data, form, by_tag, numbers)
    if grey is not None:
        kept[_MEANING] = _entry(form, _MEANING, _BLACK_IS_ZERO)
        if grey.bits == 32 and numbers.get(_SIGN, _UNSIGNED_NUMBERS) == _UNSIGNED_NUMBERS:
            # Which Pillow does not know in every order of bytes; of numbers up to 65535 it is the same.
            kept[_SIGN] = _entry(form, _SIGN, _SIGNED_NUMBERS)
    return PictureFile(
        "TIFF",
        _with_new_directory(data, form, kept, parts),
        TiffImageFile,
        mark.value if mark is not None and mark.is_number and 1 <= mark.value <= 8 else upright,
        _bytes_of(data, form, by_tag.get(_PROFILE)),
        sum(1 for _ in _pages(data, form)) or 1,
        corrected=as_it_is if grey is None else grey.corrected,
    )


def _deep_grey(form: DirectoryFormat, numbers: Mapping[int, int]) -> DeepGrey | None:
    """Describe the numbers of a grey picture that has more than 8 bits or a sign, if it is one."""
    bits, meaning = numbers.get(_BITS, 1), numbers.get(_MEANING)
    is_grey = meaning in (_WHITE_IS_ZERO, _BLACK_IS_ZERO) and numbers.get(_SAMPLES, 1) == 1
    is_signed = numbers.get(_SIGN) == _SIGNED_NUMBERS
    if not is_grey or bits not in (SIGNED_BITS + DEEP_BITS if is_signed else DEEP_BITS):
        return None
    is_packed = numbers.get(_COMPRESSION, _UNCOMPRESSED) != _UNCOMPRESSED
    is_negative = meaning == _WHITE_IS_ZERO
    return DeepGrey.of(bits, form.order, is_negative=is_negative, is_packed=is_packed, is_signed=is_signed)


def _merged_planes(
    data: bytes, form: DirectoryFormat, by_tag: Mapping[int, DirectoryEntry], numbers: Mapping[int, int]
) -> list[bytes]:
    """Put the planes of an uncompressed picture together, strip by strip or tile by tile; none if it has no planes."""
    samples = numbers.get(_SAMPLES, 1)
    if numbers.get(_PLANES) != _SEPARATE or not 1 < samples <= MOST_SAMPLES or _BITS not in by_tag:
        return []
    if numbers.get(_COMPRESSION, _UNCOMPRESSED) != _UNCOMPRESSED:
        if samples == 2:  # Pillow takes the second plane for a colour, and would show a clear picture
            raise UnsupportedImage(
                "image: a TIFF of grey and alpha in separate planes is not read here; save it as PNG"
            )
        return []
    depths = set(_numbers_of(data, form, by_tag[_BITS]).tolist())
    places = by_tag.get(_STRIP_PLACES, by_tag.get(_TILE_PLACES))
    if places is None or depths not in ({8}, {16}):
        return []
    sample_bytes = depths.pop() // 8
    pixels = _tile_pixels(numbers, places.count) if places.tag == _TILE_PLACES else _strip_pixels(numbers)
    part_sizes = [each * sample_bytes for each in pixels]
    return Planes(samples, sample_bytes, part_sizes, _numbers_of(data, form, places)).merged(data)


def _strip_pixels(numbers: Mapping[int, int]) -> list[int]:
    """Return the number of pixels of each strip of a plane."""
    width, height = numbers.get(_WIDTH, 0), numbers.get(_HEIGHT, 0)
    rows = min(numbers.get(_ROWS_PER_STRIP, height), height)
    return [min(rows, height - top) * width for top in range(0, height, rows)] if rows else []


def _tile_pixels(numbers: Mapping[int, int], places: int) -> list[int]:
    """Return the number of pixels of each tile of a plane; one more than there are places if there are too few."""
    wide, high = numbers.get(_TILE_WIDTH, 0), numbers.get(_TILE_HEIGHT, 0)
    if not (wide and high):
        return []
    count = -(-numbers.get(_WIDTH, 0) // wide) * -(-numbers.get(_HEIGHT, 0) // high)
    return [wide * high] * min(count, places + 1)


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


def _entry(form: DirectoryFormat, tag: int, value: int) -> bytes:
    """Write an entry of one small number."""
    head = struct.pack(form.order + "HH", tag, 3) + form.place.pack(1)
    return head + struct.pack(form.order + "H", value).ljust(form.place.size, b"\0")


def _list_entry(form: DirectoryFormat, tag: int, values: Sequence[int], place: int) -> tuple[bytes, bytes]:
    """Write an entry of numbers, and what is to stand at a place if there is no room in it."""
    kind = 16 if form.is_big else 4
    body = b"".join(map(form.place.pack, values))
    head = struct.pack(form.order + "HH", tag, kind) + form.place.pack(len(values))
    return (head + body, b"") if len(values) == 1 else (head + form.place.pack(place), body)


def _with_new_directory(data: bytes, form: DirectoryFormat, kept: Mapping[int, bytes], parts: Sequence[bytes]) -> bytes:
    """Return the file with a first directory of these entries behind its end, and no other page.

    Args:
        data: the file.
        form: how its directories are written.
        kept: the entries, by their tags.
        parts: strips or tiles that take the place of those in the file, if there are any.
    """
    behind = [bytes(len(data) % 2), *parts]
    end = len(data) + sum(map(len, behind))
    if parts:
        tags = (_TILE_PLACES, _TILE_BYTES) if _STRIP_PLACES not in kept else (_STRIP_PLACES, _STRIP_BYTES)
        sizes = [len(part) for part in parts]
        places = [end - sum(sizes) + before for before in accumulate([0, *sizes[:-1]])]
        changed = {_PLANES: _entry(form, _PLANES, _SIDE_BY_SIDE)}
        for tag, values in zip(tags, (places, sizes), strict=True):
            changed[tag], body = _list_entry(form, tag, values, end)
            behind.append(body)
            end += len(body)
        kept = {**kept, **changed}
    place_at = 8 if form.is_big else 4
    view = memoryview(data)
    return b"".join([
        view[:place_at],
        form.place.pack(end),
        view[place_at + form.place.size :],
        *behind,
        form.counter.pack(len(kept)),
        *(kept[tag] for tag in sorted(kept)),
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
