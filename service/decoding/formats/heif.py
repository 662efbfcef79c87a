"""AVIF and HEIC, which share a container (HEIF): bounds on boxes and on every size in it; broken EXIF is put aside.

AVIF is read by Pillow. HEIC needs the extra `pheye-service[heic]`, whose package is called here and registered nowhere.
Both readers know orientation, profile and the number of images.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from io import BytesIO

from PIL import AvifImagePlugin
from PIL.ImageFile import ImageFile

from model.pixels.exif import number
from service.decoding.formats.av1 import frame_sizes
from service.decoding.formats.heif_data import CodedData
from service.decoding.formats.picture_file import BIG_U16, BIG_U32, PictureFile, check_count, check_size
from service.errors import InvalidField, UnsupportedImage

START = re.compile(rb"....ftyp", re.DOTALL)
MAX_BOXES = 16_384  # an iPhone's photograph has some hundreds: it is made of 48 tiles
NO_HEIC = (
    "image: a HEIC file, as iPhones write them whatever its name says, which is not read here; send JPEG or PNG, or "
    "install the extra pheye-service[heic] on the server"
)
HAS_HEIC = find_spec("pillow_heif") is not None
_AVIF = {b"avif", b"avis"}
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1", b"mif2"}
PADDING_PX = 64  # by which a frame may be larger than its image: whole blocks are coded
# Boxes in which others are, and where those begin behind the head.
_CONTAINERS = {
    b"meta": 4, b"iprp": 0, b"ipco": 0, b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0, b"stsd": 8,
}  # fmt: skip
_VISUAL_SAMPLES = (b"av01", b"hvc1", b"hev1")

# A decoder process has one image at a time, and memory for one thread.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1


def read(data: bytes, max_pixels: int) -> PictureFile:
    """Check an AVIF or a HEIC file.

    Raises:
        UnsupportedImage: neither, or a HEIC file and the extra is not installed.
        InvalidField: too many boxes, or coded images that are larger than the file says.
        TooLarge: an image in it, or a part of one, has too many pixels.
    """
    brands = _brands(data)
    is_avif = bool(brands & _AVIF)
    if not is_avif and not brands & _HEIC:
        raise UnsupportedImage("image: a film or another file of the MP4 family, and no picture that is read here")
    if not is_avif and not HAS_HEIC:
        raise UnsupportedImage(NO_HEIC)
    exif_at: list[int] = []
    said: set[tuple[int, int]] = set()
    coded = CodedData(data)
    for kind, start, end in _boxes(data):
        if kind == b"ispe":
            said.add((number(BIG_U32, data, start + 4), number(BIG_U32, data, start + 8)))
        elif kind in _VISUAL_SAMPLES:
            said.add((number(BIG_U16, data, start + 24), number(BIG_U16, data, start + 26)))
        elif kind == b"iinf":
            exif_at = list(_places(data, b"Exif", start, end))
        if is_avif:
            coded.take(kind, start, end)
    for size in said:
        check_size(*size, max_pixels)
    if is_avif:
        _check_frames(coded, said, max_pixels)
        unmarked = _renamed(data, exif_at)
        return PictureFile("AVIF", unmarked, AvifImagePlugin.AvifImageFile, None, None, frames=None)
    return PictureFile("HEIC", data, _heic_reader, profile=None, frames=None)


def _check_frames(coded: CodedData, said: set[tuple[int, int]], max_pixels: int) -> None:
    """Judge the size at which the data is coded: the reader decodes at that, and then scales to the one it is told."""
    for width, height in set(frame_sizes(coded.pieces())):
        check_size(width, height, max_pixels, "image: as it is coded")
        if said and not any(width < wide + PADDING_PX and height < high + PADDING_PX for wide, high in said):
            wide, high = max(said)
            raise InvalidField(
                f"image: broken; it is said to have {wide} x {high} pixels, and {width} x {height} are coded (AVIF)"
            )


def _heic_reader(file: BytesIO, _: str) -> ImageFile:
    """Open a HEIC file; orientation is applied by the reader, as the container has it."""
    import pillow_heif

    pillow_heif.options.DECODE_THREADS = 1
    opened: ImageFile = pillow_heif.HeifImageFile(file, "")
    return opened


def _brands(data: bytes) -> set[bytes]:
    """Return the brands that the file says it is of."""
    end = min(number(BIG_U32, data, 0), len(data), 1024)
    return {data[8:12], *(data[at : at + 4] for at in range(16, end - 3, 4))}


def _boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the boxes and those inside of them: kind, start and end of what they hold.

    Raises:
        InvalidField: there are too many.
    """
    count, inside = 0, [(0, len(data))]
    while inside:
        place, last = inside.pop()
        while place + 8 <= last:
            count += 1
            check_count(count, MAX_BOXES, "boxes (AVIF, HEIC)")
            size, kind, head = number(BIG_U32, data, place), data[place + 4 : place + 8], 8
            if size == 1:
                size, head = int.from_bytes(data[place + 8 : place + 16], "big"), 16
            end = min(place + size, last) if size else last
            if end < place + head:
                break
            yield kind, place + head, end
            if kind in _CONTAINERS:
                inside.append((place + head + _CONTAINERS[kind], end))
            elif kind == b"iinf":  # behind a count of 2 or 4 bytes
                inside.append((place + head + (8 if any(data[place + head : place + head + 1]) else 6), end))
            place = end


def _places(data: bytes, word: bytes, start: int, end: int) -> Iterator[int]:
    while (start := data.find(word, start, end)) >= 0:
        yield start
        start += len(word)


def _renamed(data: bytes, places: list[int]) -> bytes:
    """Give items another kind, which no reader looks at: what Pillow could not parse would refuse the picture."""
    if not places:
        return data
    changed = bytearray(data)
    for place in places:
        changed[place : place + 4] = b"free"
    return bytes(changed)
