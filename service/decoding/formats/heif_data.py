"""Places of the coded data of an AVIF file: of its items by `iloc`, and of the first frame of its tracks.

Takes what the container says as it stands, whether it makes sense or not; where it says a thing twice, each is taken,
since readers differ in which one they take. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from model.pixels.exif import number
from service.decoding.formats.picture_file import BIG_U16, BIG_U32, check_count
from service.errors import InvalidField

MAX_SHARED = 4  # times that all bytes of the file may belong to images in it: a few share them, no honest one more
MAX_TABLES = 8  # of each kind; a file has one, and one for each track
MAX_PLACES = 16_384  # of items and of pieces of them
_CODED = b"av01"


@dataclass(slots=True)
class CodedData:
    """The coded data of a file, of which its boxes tell one after the other."""

    data: bytes
    _items: set[int] = field(default_factory=set)
    _locations: list[tuple[int, int]] = field(default_factory=list)
    _insides: list[tuple[int, int]] = field(default_factory=list)
    _tracks: list[tuple[int, int]] = field(default_factory=list)
    _chunks: list[tuple[int, int]] = field(default_factory=list)
    _samples: list[tuple[int, int]] = field(default_factory=list)
    _places: int = 0

    def take(self, kind: bytes, start: int, end: int) -> None:
        """Take the next box: its kind, and start and end of what it holds.

        Raises:
            InvalidField: there are too many tables of places.
        """
        data = self.data
        match kind:
            case b"infe":
                wide = data[start : start + 1] > b"\2"
                item, at = (BIG_U32, start + 8) if wide else (BIG_U16, start + 6)
                if data[at + 2 : at + 6] == _CODED:
                    self._items.add(number(item, data, start + 4))
            case b"iloc":
                self._locations.append((start, end))
            case b"idat":
                self._insides.append((start, end))
            case b"stbl":
                self._tracks.append((start, end))
            case b"stco":
                self._chunks.append((start, number(BIG_U32, data, start + 8)))
            case b"co64":
                self._chunks.append((start, int.from_bytes(data[start + 8 : start + 16], "big")))
            case b"stsz":
                size = number(BIG_U32, data, start + 4) or number(BIG_U32, data, start + 12)
                self._samples.append((start, size))
        tables = max(map(len, (self._locations, self._insides, self._tracks, self._chunks, self._samples)))
        check_count(tables, MAX_TABLES, "tables of places (AVIF, HEIC)")

    def pieces(self) -> Iterator[memoryview]:
        """Yield the data of each image, and of the first frame of each track.

        Raises:
            InvalidField: they share their bytes too often, or there are too many.
        """
        view, left = memoryview(self.data), MAX_SHARED * len(self.data)
        for extents in (*self._of_items(), *self._of_tracks()):
            parts = [view[start:end] for start, end in extents]
            left -= sum(map(len, parts))
            if left < 0:
                raise InvalidField("image: broken; images in it share their data too often (AVIF)")
            yield parts[0] if len(parts) == 1 else memoryview(b"".join(parts))

    def _of_tracks(self) -> Iterator[list[tuple[int, int]]]:
        for start, end in self._tracks:
            sizes = [size for at, size in self._samples if start <= at < end]
            for place in (place for at, place in self._chunks if start <= at < end):
                yield from ([(place, place + size)] for size in sizes)

    def _of_items(self) -> Iterator[list[tuple[int, int]]]:
        for start, end in self._locations:
            for inside in self._insides or [(0, 0)]:
                yield from self._extents(_Numbers(self.data[start:end]), inside)

    def _extents(self, numbers: _Numbers, inside: tuple[int, int]) -> Iterator[list[tuple[int, int]]]:
        """Yield where the data of each coded item is, piece by piece."""
        version = numbers.take(1)
        numbers.take(3)
        widths, more_widths = numbers.take(1), numbers.take(1)
        index_bytes = more_widths & 15 if version else 0
        for _ in range(numbers.take(4 if version == 2 else 2)):
            if numbers.at_end():
                return
            self._count_place()
            item = numbers.take(4 if version == 2 else 2)
            is_inside = version > 0 and numbers.take(2) & 15 == 1
            numbers.take(2)
            start, end = inside if is_inside else (0, len(self.data))
            base = start + numbers.take(more_widths >> 4)
            extents = []
            for _ in range(numbers.take(2)):
                if numbers.at_end():
                    break
                self._count_place()
                numbers.take(index_bytes)
                place = base + numbers.take(widths >> 4)
                size = numbers.take(widths & 15)
                extents.append((place, min(place + size, end) if size else end))
            if item in self._items and extents:
                yield extents

    def _count_place(self) -> None:
        self._places += 1
        check_count(self._places, MAX_PLACES, "places of data (AVIF, HEIC)")


class _Numbers:
    """Big-endian numbers, one after the other; behind the end are zeros."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    def at_end(self) -> bool:
        return self._place >= len(self._data)

    def take(self, count: int) -> int:
        self._place += count
        return int.from_bytes(self._data[self._place - count : self._place], "big")
