"""Orientation marks of cameras (EXIF, XMP), read alone and tolerantly: nothing else there changes a picture.

Also the walk over the entries of a TIFF directory, which EXIF is. Knows no image. Every function is pure, reads at most
`MAX_ENTRIES` entries whatever the bytes claim, and raises nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct

UPRIGHT = 1
ORIENTATION_TAG = 0x0112
MAX_ENTRIES = 4096

_PREFIX = re.compile(rb"(?:Exif\x00\x00){1,2}")
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:=[\"']|>)([1-8])")
_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}  # by a value's type


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """An entry of a TIFF directory.

    Attributes:
        tag: what it is about.
        kind: the type of its values.
        count: how many values it has.
        start: its own place in the file.
        value: its value if it is one number, else where its values are.
    """

    tag: int
    kind: int
    count: int
    start: int
    value: int

    @property
    def is_number(self) -> bool:
        """True if its value is one number."""
        return self.count == 1 and self.kind in _NUMBERS


@dataclass(frozen=True, slots=True)
class DirectoryFormat:
    """The format of a TIFF file's directories: byte order and width of numbers.

    Attributes:
        order: of the bytes of a number, as `struct` writes it.
        is_big: a BigTIFF, whose counts and places have 8 bytes.
    """

    order: str
    is_big: bool

    @property
    def entry_bytes(self) -> int:
        """Bytes of an entry."""
        return 20 if self.is_big else 12

    @property
    def counter(self) -> Struct:
        """Format of the number of entries."""
        return Struct(self.order + ("Q" if self.is_big else "H"))

    @property
    def place(self) -> Struct:
        """Format of a place in the file."""
        return Struct(self.order + ("Q" if self.is_big else "I"))

    def first(self, data: bytes) -> int:
        """Return the place of the first directory."""
        return number(self.place, data, 8 if self.is_big else 4)

    def count(self, data: bytes, start: int) -> int:
        """Return how many entries a directory says it has."""
        return number(self.counter, data, start) if start else 0

    def following(self, data: bytes, start: int) -> int:
        """Return the place of the directory behind the one at `start`, or 0."""
        end = start + self.counter.size + self.count(data, start) * self.entry_bytes
        return number(self.place, data, end)

    def entries(self, data: bytes, start: int) -> Iterator[DirectoryEntry]:
        """Yield the entries of the directory at `start` that are in the file."""
        head, place = Struct(self.order + ("HHQ" if self.is_big else "HHI")), start + self.counter.size
        for _ in range(min(self.count(data, start), MAX_ENTRIES)):
            if place + self.entry_bytes > len(data):
                return
            tag, kind, count = head.unpack_from(data, place)
            letter = _NUMBERS.get(kind) if count == 1 else None
            form = Struct(self.order + letter) if letter else self.place
            yield DirectoryEntry(tag, kind, count, place, number(form, data, place + head.size))
            place += self.entry_bytes


def number(form: Struct, data: bytes, place: int) -> int:
    """Return the number at a place, or 0 outside of the data, where every reader stops."""
    return int(form.unpack_from(data, place)[0]) if 0 <= place <= len(data) - form.size else 0


def directory_format(data: bytes) -> DirectoryFormat | None:
    """Recognise a TIFF file's format by its first bytes."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    version = number(Struct(f"{order}H"), data, 2) if order else 0
    return DirectoryFormat(order, version == 43) if order and version in (42, 43) else None


def first_numbers(data: bytes) -> dict[int, int]:
    """Return the entries of the first directory that are one number, by their tags."""
    form = directory_format(data)
    if form is None:
        return {}
    entries = form.entries(data, form.first(data))
    return {entry.tag: entry.value for entry in entries if entry.is_number}


def orientation(exif: bytes, xmp: bytes = b"") -> int:
    r"""Return the orientation mark, from 1 to 8: EXIF's, or else XMP's, or else upright.

    >>> orientation(b"Exif\0\0II*\0\10\0\0\0\1\0\22\1\3\0\1\0\0\0\6\0\0\0"), orientation(b"Exif\0\0garbage")
    (6, 1)
    """
    start = _PREFIX.match(exif)
    mark = first_numbers(exif[start.end() :] if start else exif).get(ORIENTATION_TAG, 0)
    if 1 <= mark <= 8:
        return mark
    found = _XMP_ORIENTATION.search(xmp)
    return int(found[1]) if found else UPRIGHT
