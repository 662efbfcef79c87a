"""JPEG: bounds on scans and segments; orientation and profile are taken out, and all other segments left out.

What stays for the reader are the tables, the frame, the scans, and the two segments that tell how colours are meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from PIL.JpegImagePlugin import JpegImageFile

from model.pixels.colour import MAX_PROFILE_BYTES
from model.pixels.exif import first_numbers, number, orientation
from service.decoding.formats.picture_file import BIG_U16, PictureFile, check_count

START = re.compile(rb"\xff\xd8\xff")
# libjpeg's and mozjpeg's scripts make 6 to 13 scans; ten times that is still read. Each scan goes over the whole image.
MAX_SCANS = 128
# A profile has up to 255 segments and extended XMP some hundreds; each takes time.
MAX_SEGMENTS = 4096
MAX_JUNK_BYTES = 65_536  # padding and stray bytes between segments, which are looked through one by one

START_OF_SCAN, END_OF_IMAGE = 0xDA, b"\xff\xd9"
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_SCAN_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")  # not those that stand alone inside of a scan
_WITHOUT_LENGTH = {0x01, 0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)}  # markers that are no segments
_TABLES_AND_FRAMES = {*range(0xC0, 0xE0)} - _WITHOUT_LENGTH
_JFIF, _EXIF_OR_XMP, _PROFILE_OR_INDEX, _ADOBE = 0xE0, 0xE1, 0xE2, 0xEE
_XMP_START, _PROFILE_START = b"http://ns.adobe.com/xap/1.0/\x00", b"ICC_PROFILE\x00"
_GAIN_MAPS = (b"hdrgm:Version=", b"hdrgainmap")  # of Android and of iPhones: a second image that is no picture
_NUMBER_OF_IMAGES, _INDEX_ENTRY_BYTES = 0xB001, 16


def read(data: bytes, _: int) -> PictureFile:
    """Check a JPEG.

    Raises:
        InvalidField: too many scans or segments.
    """
    found = _Head(data)
    if data.count(b"\xff\xda", found.scans_at) > MAX_SCANS:  # an upper bound, at the speed of memory
        scans = sum(1 for _ in zip(scan_places(data, found.scans_at), range(MAX_SCANS + 1), strict=False))
        check_count(scans, MAX_SCANS, "scans (JPEG)")
    return PictureFile(
        "JPEG",
        b"".join([data[:2], *found.kept, memoryview(data)[found.scans_at :]]),
        JpegImageFile,
        orientation(found.exif, found.xmp),
        found.profile,
        found.images,
    )


class _Head:
    """The segments before the first scan.

    Attributes:
        kept: those for the reader.
        scans_at: where the scans begin; the end of the file if there is none.
        exif, xmp: the first of each, or empty.
    """

    def __init__(self, data: bytes) -> None:
        self.kept: list[bytes] = []
        self.exif = self.xmp = b""
        self._parts: list[bytes] = []
        self._index, self._data = b"", data
        self.scans_at = len(data)
        place = segments = junk = 0
        place = 2
        while (found := _MARKER.search(data, place, place + MAX_JUNK_BYTES)) is not None:
            junk += found.start() - place
            place, code = found.start(), found[0][1]
            if code == START_OF_SCAN:
                self.scans_at = place
                return
            segments += 1
            check_count(segments, MAX_SEGMENTS, "segments before the picture (JPEG)")
            check_count(junk, MAX_JUNK_BYTES, "stray bytes before the picture (JPEG)")
            end = place + 2 + (0 if code in _WITHOUT_LENGTH else number(BIG_U16, data, place + 2))
            self._take(code, data[place:end])
            place = end
        check_count(len(data) - place, MAX_JUNK_BYTES, "stray bytes before the picture (JPEG)")

    def _take(self, code: int, segment: bytes) -> None:
        body = segment[4:]
        if code in _TABLES_AND_FRAMES:
            self.kept.append(segment)
        elif (code == _JFIF and body.startswith(b"JFIF\x00") and len(body) >= 14) or (
            code == _ADOBE and body.startswith(b"Adobe") and len(body) >= 12
        ):
            self.kept.append(segment)  # shorter ones are ignored by libjpeg, and stumbled over by Pillow
        elif code == _EXIF_OR_XMP and body.startswith(b"Exif\x00"):
            self.exif = self.exif or body
        elif code == _EXIF_OR_XMP and body.startswith(_XMP_START):
            self.xmp = self.xmp or body
        elif code == _PROFILE_OR_INDEX and body.startswith(_PROFILE_START):
            self._parts.append(body[len(_PROFILE_START) :])
        elif code == _PROFILE_OR_INDEX and body.startswith(b"MPF\x00"):
            self._index = self._index or body[4:]

    @property
    def profile(self) -> bytes:
        """The ICC profile, put together from numbered parts; empty if one is missing."""
        parts = sorted(part for part in self._parts if len(part) > 2)
        whole = bool(parts) and [part[0] for part in parts] == list(range(1, parts[0][1] + 1))
        size = sum(map(len, parts))
        return b"".join(part[2:] for part in parts) if whole and size <= MAX_PROFILE_BYTES else b""

    @property
    def images(self) -> int:
        """The number of pictures in the file by its index (MPF): some cameras write several."""
        count = first_numbers(self._index).get(_NUMBER_OF_IMAGES, 1)
        if not 1 < count <= len(self._index) // _INDEX_ENTRY_BYTES or any(mark in self._data for mark in _GAIN_MAPS):
            return 1
        return count


def scan_places(data: bytes, place: int) -> Iterator[int]:
    """Yield the places of the scans; a segment between two of them is skipped whole."""
    segments = 0
    while (found := _SCAN_MARKER.search(data, place)) is not None and found[0] != END_OF_IMAGE:
        if found[0][1] == START_OF_SCAN:
            yield found.start()
        segments += 1
        check_count(segments, MAX_SEGMENTS, "segments (JPEG)")
        place = found.end() + number(BIG_U16, data, found.end())
