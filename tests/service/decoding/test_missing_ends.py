"""Files whose end is missing: read with a warning where hardly any of the picture is missing, else refused."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from service.decoding.decode import IMAGE_END_MISSING
from service.errors import InvalidField
from tests.support.decoded import assert_like, of_the_scene, tiled
from tests.support.hostile import png_chunk
from tests.support.pictures import (
    exif,
    saved,
    scene,
)


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"subsampling": 0}], ids=["base", "progressive", "4:4:4"]
)
@pytest.mark.parametrize("cut", [1, 2, 5])
def test_a_jpeg_whose_very_end_is_missing_is_read_with_a_warning(options, cut):
    whole = saved(scene(), "JPEG", quality=95, **options)
    image = assert_like(whole[:-cut], tiled(whole), 0 if cut <= 2 else 255)
    assert np.abs(image.tiles.astype(np.int16) - tiled(whole).tiles).mean() < 1
    assert image.facts.warnings == (IMAGE_END_MISSING,)
    assert tiled(whole).facts.warnings == ()


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["base", "progressive"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_part_of_a_jpeg_is_refused(options, share):
    whole = saved(scene(), "JPEG", quality=95, **options)
    if options and share == 0.9:
        pytest.skip("what is missing are the last bits of the last scan")
    with pytest.raises(InvalidField, match="broken or cut short"):
        tiled(whole[: int(share * len(whole))])


def test_a_jpeg_with_a_grey_end_is_not_taken_for_whole():
    picture = Image.new("RGB", (320, 240), (128, 128, 128))
    picture.paste(scene().resize((320, 100)), (0, 0))
    whole = saved(picture, "JPEG", quality=95)
    assert tiled(whole[:-2]).facts.warnings == (IMAGE_END_MISSING,)
    with pytest.raises(InvalidField):
        tiled(whole[: len(whole) * 2 // 3])


@pytest.mark.parametrize("cut", [1, 4, 12, 13, 16, 18])
def test_a_png_with_all_its_rows_is_read_whatever_is_missing_behind(cut):
    image = tiled(saved(scene(), "PNG")[:-cut])
    assert image.image_key == of_the_scene("PNG").image_key
    assert image.facts.warnings == ((IMAGE_END_MISSING,) if cut > 4 else ())


@pytest.mark.parametrize("interlaced", [0, 1])
def test_a_png_without_its_last_rows_is_read_if_they_are_few(interlaced):
    rows = [b"\0" + row.tobytes() for row in np.asarray(scene().convert("L").resize((200, 200)))]
    body = b"".join(rows) if not interlaced else bytes(50_000)
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 200, 200, 8, 0, 0, 0, interlaced))
    packing = zlib.compressobj(0)
    packed = packing.compress(body) + packing.flush()

    def cut_at(share: float) -> bytes:
        whole = b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", packed)
        return whole[: int(share * len(whole))]

    if not interlaced:
        assert tiled(cut_at(0.995)).facts.warnings == (IMAGE_END_MISSING,)
        with pytest.raises(InvalidField):
            tiled(cut_at(0.97))
    with pytest.raises(InvalidField):
        tiled(cut_at(0.5))


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 90}], ids=["lossless", "lossy"])
def test_a_webp_whose_very_end_is_missing_is_read_with_a_warning(options):
    whole = saved(scene(), "WEBP", **options)
    if not options.get("lossless"):  # those show nothing without their last bits
        assert tiled(whole[:-1]).facts.warnings == (IMAGE_END_MISSING,)
    with pytest.raises(InvalidField):
        tiled(whole[: len(whole) // 2])
    marked = saved(scene(), "WEBP", exif=exif(1) + bytes(300), **options)
    image = assert_like(marked[:-100], tiled(whole))
    assert image.facts.warnings == (IMAGE_END_MISSING,)


def test_a_gif_needs_no_trailer_but_is_told_of():
    whole = saved(scene(), "GIF")
    image = assert_like(whole[:-1], tiled(whole))
    assert image.facts.warnings == (IMAGE_END_MISSING,)
    with pytest.raises(InvalidField):
        tiled(whole[: len(whole) // 2])


def test_an_uncompressed_tiff_of_which_strips_are_missing_is_refused():
    places = struct.pack("<II", 1000, 1000 + 96)
    tags = {256: 8, 257: 24, 258: 8, 259: 1, 262: 1, 277: 1, 278: 12}
    entries = [*((tag, 4, 1, value) for tag, value in tags.items()), (273, 4, 2, 900)]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *each) for each in sorted(entries))
    whole = (b"II*\0\x08\0\0\0" + directory + bytes(4)).ljust(900, b"\0") + places
    whole = whole.ljust(1000, b"\0") + b"\x40" * 192
    assert tiled(whole).tiles.max() == 0x40
    one_place = whole.replace(struct.pack("<HHII", 273, 4, 2, 900), struct.pack("<HHII", 273, 4, 1, 1000))
    for part in (one_place, whole[:1090]):
        with pytest.raises(InvalidField, match=r"cut short; 1 of its 2 strips are missing \(TIFF\)"):
            tiled(part)


@pytest.mark.parametrize("compression", ["tiff_deflate", "tiff_lzw", "jpeg"])
def test_a_tiff_of_which_strips_are_missing_is_refused(compression):
    whole = saved(scene(), "TIFF", compression=compression, strip_size=20_000)
    assert tiled(whole).facts.warnings == ()
    directory = struct.unpack("<I", whole[4:8])[0]
    count = struct.unpack("<H", whole[directory : directory + 2])[0]
    for index in range(count):
        place = directory + 2 + 12 * index
        tag, kind, strips, value = struct.unpack("<HHII", whole[place : place + 12])
        if tag == 273:
            assert strips > 6
            fewer = whole[:place] + struct.pack("<HHII", tag, kind, strips // 2, value) + whole[place + 12 :]
    with pytest.raises(InvalidField, match=r"cut short; \d+ of its \d+ strips are missing \(TIFF\)"):
        tiled(fewer)
