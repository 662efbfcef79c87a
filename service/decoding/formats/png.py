"""PNG: a bound on chunks; profile, orientation and the transparent colour are taken out, text and all else left out.

What stays for the reader are header, palette, the alpha of a palette, and the image data: nothing compressed beside the
picture. At most one profile, one EXIF in text and one XMP are unpacked, each up to a bound.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from model.pixels.colour import MAX_PROFILE_BYTES
from model.pixels.exif import number, orientation
from service.decoding.formats.picture_file import (
    BIG_U16,
    BIG_U32,
    MAX_COUNTED_FRAMES,
    PictureFile,
    as_it_is,
    check_count,
    check_size,
)
from service.errors import InvalidField

START = re.compile(rb"\x89PNG\r\n\x1a\n")
MAX_CHUNKS = 16_384  # IDAT among them, of which libpng makes one for 8 KiB, and of 20 MB 2,500
MAX_TEXT_BYTES = 2**20  # of a text in which an orientation mark is looked for
SIGNATURE_BYTES, FRAMING_BYTES = 8, 12  # of a chunk, all but its data
GREY, RGB, PALETTE = 0, 2, 3  # kinds of pixels that have a transparent colour, or several
_RAW_EXIF = (b"Raw profile type exif", b"Raw profile type APP1")  # as ImageMagick writes it
_XMP = b"XML:com.adobe.xmp"


def read(data: bytes, max_pixels: int) -> PictureFile:
    """Check a PNG.

    Raises:
        InvalidField: too many chunks, or a header that does not match its checksum.
        TooLarge: too many pixels.
    """
    found = _Chunks()
    for kind, start, end in chunks(data):
        if kind == b"IHDR" and end <= len(data):
            _check_header(data[start + 4 : end], max_pixels)
        found.take(kind, memoryview(data)[start:end])
    return PictureFile(
        "PNG",
        b"".join([data[:SIGNATURE_BYTES], *found.kept]),
        PngImageFile,
        orientation(found.exif, found.xmp),
        found.profile,
        found.frames,
        found.clear,
        is_cut=not found.has_end,
        corrected=as_it_is if found.deep_clear is None else found.deep_clear.taken_out,
    )


def _check_header(header: bytes, max_pixels: int) -> None:
    """Judge a header, from its kind to its checksum, before anything is done by the size that it says."""
    if zlib.crc32(header[:-4]) != number(BIG_U32, header, len(header) - 4):
        raise InvalidField("image: broken; its header does not match its checksum (PNG)")
    check_size(number(BIG_U32, header, 4), number(BIG_U32, header, 8), max_pixels)


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the chunks up to the end mark: kind, start and end, which may lie behind the file's."""
    place, count = SIGNATURE_BYTES, 0
    while place + 8 <= len(data):
        count += 1
        check_count(count, MAX_CHUNKS, "chunks (PNG)")
        kind, end = data[place + 4 : place + 8], place + FRAMING_BYTES + number(BIG_U32, data, place)
        yield kind, place, end
        if kind == b"IEND":
            return
        place = end


def chunk(kind: bytes, data: bytes) -> bytes:
    """Build a chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@dataclass(frozen=True, slots=True)
class DeepClear:
    """The transparent colour of a picture of 16 bits a channel, of which the reader gives the upper bytes alone.

    Attributes:
        colour: red, green and blue, in 16 bits.
    """

    colour: tuple[int, int, int]

    def taken_out(self, image: Image.Image, data: bytes) -> Image.Image:
        """Make those pixels clear which are of the colour in all their bits; the lower ones are decoded if need be."""
        alike = (np.asarray(image) == [level >> 8 for level in self.colour]).all(axis=2)
        if not alike.any():
            return image
        lower = PngImageFile(BytesIO(data))
        lower.tile = [each._replace(args="RGB;16L") for each in lower.tile]
        lower.load()
        alike &= (np.asarray(lower) == [level & 255 for level in self.colour]).all(axis=2)
        image.putalpha(Image.fromarray(~alike * np.uint8(255)))
        return image


@dataclass(slots=True)
class _Chunks:
    """The chunks of a file, sorted.

    Attributes:
        kept: those for the reader.
        exif, xmp, profile: the first of each, or empty. Of those that can be packed no second one is tried where
            the first is broken or too large: a file can hold thousands.
        clear: the transparent colour of a picture without a palette.
        deep_clear: likewise, of colours in 16 bits.
        has_end: whether the end mark was there.
    """

    kept: list[bytes | memoryview] = field(default_factory=list)
    exif: bytes = b""
    xmp: bytes = b""
    profile: bytes = b""
    clear: int | tuple[int, ...] | None = None
    deep_clear: DeepClear | None = None
    has_end: bool = False
    _depth: int = 8
    _pixels: int = RGB
    _frames: int = 0
    _is_animated: bool = False
    _frame_is_default: bool = False
    _has_data: bool = False
    _tried: set[bytes] = field(default_factory=set)

    def take(self, kind: bytes, chunk: memoryview) -> None:
        """Take the next chunk; data that is cut is taken as far as it is there."""
        if kind in (b"IHDR", b"PLTE", b"IDAT", b"IEND"):
            self.kept.append(chunk)
        match kind:
            case b"IHDR":
                head = bytes(chunk[8:21]).ljust(13, b"\0")
                self._depth, self._pixels = head[8], head[9]
            case b"IDAT":
                self._frame_is_default |= self._frames > 0 and not self._has_data
                self._has_data = True
            case b"IEND":
                self.has_end = True
            case b"tRNS":
                self._take_transparency(bytes(chunk[8:-4]))
            case b"acTL":
                self._is_animated = True
            case b"fcTL":
                self._frames += 1
            case b"iCCP" if self._is_first(kind):
                self.profile = _unpacked_after_name(bytes(chunk[8:-4]), MAX_PROFILE_BYTES)
            case b"eXIf" if self._is_first(kind):
                self.exif = bytes(chunk[8:-4])
            case b"tEXt" | b"zTXt" | b"iTXt" if not self._has_data or len(chunk) <= MAX_TEXT_BYTES:
                self._take_text(kind, chunk)

    def _take_text(self, kind: bytes, chunk: memoryview) -> None:
        name, _, _ = bytes(chunk[8 : 8 + 80]).partition(b"\0")
        body = chunk[8 + len(name) + 1 : -4][:MAX_TEXT_BYTES]
        if name in _RAW_EXIF and kind != b"iTXt" and not self.exif and self._is_first(_RAW_EXIF[0]):
            self.exif = _from_hex(bytes(body) if kind == b"tEXt" else _unpacked(bytes(body[1:]), MAX_TEXT_BYTES))
        elif name == _XMP and kind == b"iTXt" and self._is_first(_XMP):
            text = bytes(body[2:]).split(b"\0", 2)[-1]  # behind two flags, a language and a translated name
            self.xmp = _unpacked(text, MAX_TEXT_BYTES) if bytes(body[:1]) == b"\1" else text

    def _is_first(self, what: bytes) -> bool:
        is_first = what not in self._tried
        self._tried.add(what)
        return is_first

    def _take_transparency(self, values: bytes) -> None:
        if self._pixels == PALETTE:
            self.kept.append(chunk(b"tRNS", values[:256]))
        elif self._pixels == GREY and len(values) >= 2:
            level = number(BIG_U16, values, 0)
            # Pillow scales pixels of few bits to 8, and not their transparent colour; deep ones it leaves deep.
            self.clear = level * 255 // (2**self._depth - 1) if self._depth < 8 else level
        elif self._pixels == RGB and len(values) >= 6:
            red, green, blue = (number(BIG_U16, values, at) for at in (0, 2, 4))
            if self._depth == 16:
                self.deep_clear = DeepClear((red, green, blue))
            else:
                self.clear = red, green, blue

    @property
    def frames(self) -> int:
        """The number of frames; a picture that is no part of its animation counts too."""
        if not self._is_animated or not self._frames:
            return 1
        return min(self._frames + (not self._frame_is_default), MAX_COUNTED_FRAMES)


def _unpacked_after_name(body: bytes, most: int) -> bytes:
    _, _, packed = body.partition(b"\0")
    return _unpacked(packed[1:], most)


def _unpacked(packed: bytes, most: int) -> bytes:
    """Decompress data that is whole and not too large; anything else is as if it were not there."""
    unpacking = zlib.decompressobj()
    try:
        data = unpacking.decompress(packed, most)
    except zlib.error:
        return b""
    return data if unpacking.eof else b""


def _from_hex(text: bytes) -> bytes:
    """Read what ImageMagick writes: a line with the name, one with the length, and lines of hexadecimal digits."""
    try:
        return bytes.fromhex(b"".join(text.split(b"\n", 3)[3:]).decode("ascii"))  # which passes over line ends
    except ValueError:
        return b""
