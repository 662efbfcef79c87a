"""Files that say what is not so, or say it a thousand times: nothing is unpacked or decoded on their word."""

from __future__ import annotations

import struct
import time
import tracemalloc
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from service.decoding.formats import png
from service.decoding.formats.cut_short import STEP_BYTES
from service.decoding.formats.known import read_file
from service.errors import InvalidField, ServiceError, TooLarge
from tests.support import hostile
from tests.support.decoded import tiled
from tests.support.pictures import saved, scene

PIXELS = 50_000_000
RAW_EXIF, XMP = b"Raw profile type exif\0\0", b"XML:com.adobe.xmp\0\1\0\0\0"


def sized(width: int, height: int, depth: int = 8, pixels: int = 2) -> bytes:
    return struct.pack(">IIBBBBB", width, height, depth, pixels, 0, 0, 0)


@pytest.mark.parametrize(
    ("kind", "head", "unpacked", "cut_bytes"),
    [
        pytest.param(b"zTXt", RAW_EXIF, b"\n" * 1_000_000, 0, id="exif"),
        pytest.param(b"iTXt", XMP, bytes(2**20), 6, id="xmp-unfinished"),
        pytest.param(b"iCCP", b"icc\0\0", bytes(5 * 2**20), 0, id="profiles-too-large"),
    ],
)
def test_of_many_packed_texts_or_profiles_that_are_of_no_use_one_is_unpacked(
    kind, head, unpacked, cut_bytes, monkeypatch
):
    unpacked_times, unpack = [], png._unpacked
    monkeypatch.setattr(png, "_unpacked", lambda *given: unpacked_times.append(given) or unpack(*given))
    image = tiled(hostile.png_packed(kind, head, unpacked, 200, cut_bytes=cut_bytes))
    assert (image.width_px, image.height_px) == (32, 24)
    assert len(unpacked_times) == 1


def test_the_first_orientation_of_a_text_counts():
    marked = b"\nexif\n%8d\n" % 26 + (b"II*\0\10\0\0\0\1\0\22\1\3\0\1\0\0\0\6\0\0\0" + bytes(4)).hex().encode()
    assert read_file(hostile.png_packed(b"zTXt", RAW_EXIF, marked, 1), PIXELS).orientation == 6
    assert read_file(hostile.png_packed(b"zTXt", RAW_EXIF, marked, 2, cut_bytes=6), PIXELS).orientation == 1


@pytest.mark.parametrize(
    ("file", "refusal"),
    [
        pytest.param(hostile.png_claiming(sized(60_000, 60_000), 2**28, crc=1), InvalidField, id="wrong-checksum"),
        pytest.param(hostile.png_claiming(sized(60_000, 60_000), 2**28), TooLarge, id="too-large"),
        pytest.param(hostile.png_claiming(sized(4000, 4000, 255, 6), 2**28), InvalidField, id="impossible-depth"),
        pytest.param(hostile.png_claiming(sized(4000, 4000, 8, 5), 2**28), InvalidField, id="impossible-pixels"),
    ],
)
def test_a_png_whose_header_is_no_good_is_refused_before_its_rows_are_unpacked(file, refusal):
    tracemalloc.start()
    try:
        with pytest.raises(refusal):
            tiled(file, max_pixels=PIXELS)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


def test_a_png_that_claims_its_size_twice_is_judged_by_both():
    whole = saved(scene(), "PNG")
    large, small = (hostile.png_chunk(b"IHDR", sized(side, side)) for side in (60_000, 2))
    for file in (whole[:8] + large + whole[8:], whole[:33] + large + whole[33:], large.join([whole[:-12], b""])):
        with pytest.raises(TooLarge, match="60000 x 60000"):
            tiled(file)
    with pytest.raises(InvalidField):
        tiled(whole[:8] + small + whole[8:-2000])


def test_the_rows_of_a_png_without_its_end_are_packed_anew_step_by_step():
    noise = np.random.default_rng(3).integers(0, 256, (300, 300, 3), np.uint8)
    whole = saved(Image.fromarray(noise), "PNG")
    assert len(whole) > 4 * STEP_BYTES
    image = tiled(whole[: int(0.995 * len(whole))], tile_px=100)
    assert image.facts.warnings == ("image_end_missing",)
    np.testing.assert_array_equal(image.tiles[1:, :90], tiled(whole, tile_px=100).tiles[1:, :90])
    with pytest.raises(InvalidField):
        tiled(whole[: int(0.97 * len(whole))])


# AVIF


def avif(image: Image.Image, **options) -> bytes:
    return saved(image, "AVIF", speed=10, **options)


def claiming(file: bytes, width: int, height: int) -> bytes:
    """An AVIF in which each image is said to be of this size."""
    return b"".join(
        part if not index else part[:4] + struct.pack(">II", width, height) + part[12:]
        for index, part in enumerate(_parted(file))
    )


def _parted(file: bytes) -> list[bytes]:
    first, *others = file.split(b"ispe")
    return [first + b"ispe", *(other + b"ispe" for other in others[:-1]), others[-1]]


def inside(file: bytes) -> bytes:
    """An AVIF of one image, whose data is moved into its `meta` box."""
    data = file[file.index(b"mdat") + 4 :]
    start, iloc = file.index(b"meta") - 4, file.index(b"iloc") - 4
    size = struct.unpack(">I", file[iloc : iloc + 4])[0]
    table = b"\1\0\0\0\x44\0\0\1" + struct.pack(">HHHHII", 1, 1, 0, 1, 0, len(data))
    boxes = file[start + 12 : iloc], _box(b"iloc", table), file[iloc + size : file.index(b"mdat") - 4]
    return file[:start] + _box(b"meta", bytes(4) + b"".join(boxes) + _box(b"idat", data))


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


@pytest.mark.parametrize("placed", [bytes, inside], ids=["mdat", "idat"])
def test_an_avif_that_is_coded_larger_than_it_says_is_refused(placed):
    whole = placed(avif(Image.new("L", (2000, 1500))))
    assert tiled(whole, max_pixels=PIXELS).width_px == 2000
    with pytest.raises(TooLarge, match="as it is coded: 2000 x 1500 pixels are more than the 1000000 allowed"):
        tiled(claiming(whole, 64, 64))
    with pytest.raises(InvalidField, match=r"said to have 64 x 64 pixels, and 2000 x 1500 are coded \(AVIF\)"):
        tiled(claiming(whole, 64, 64), max_pixels=PIXELS)


def test_an_avif_animation_that_is_coded_larger_than_it_says_is_refused():
    frames = [Image.new("RGB", (2000, 1500), colour) for colour in ("red", "blue")]
    whole = avif(frames[0], save_all=True, append_images=frames[1:])
    assert tiled(whole, max_pixels=PIXELS).facts.frames == 2
    small = claiming(whole, 64, 64)
    place = small.index(b"av01", small.index(b"stsd")) + 4 + 24
    small = small[:place] + struct.pack(">HH", 64, 64) + small[place + 4 :]
    small = small.replace(b"infe", b"none")  # its tracks alone
    with pytest.raises(TooLarge, match="as it is coded: 2000 x 1500"):
        tiled(small)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("size", [(1, 1), (97, 65), (640, 3)])
def test_an_honest_avif_of_any_size_is_read(mode, size):
    file = BytesIO()
    Image.new(mode, size).save(file, "AVIF")
    image = tiled(file.getvalue())
    assert (image.width_px, image.height_px) == size


def test_an_avif_of_nothing_but_places_is_refused_at_once():
    table = b"\1\0\0\0\x44\0\xff\xff" + (struct.pack(">HHHH", 1, 0, 0, 1) + bytes(8)) * 60_000
    file = _box(b"ftyp", b"avif\0\0\0\0mif1") + _box(b"meta", bytes(4) + _box(b"iloc", table))
    began_s = time.process_time()
    with pytest.raises(InvalidField, match="16384 places of data"):
        read_file(file, PIXELS)
    assert time.process_time() - began_s < 1.0


# Whole numbers of 32 bits


@pytest.mark.parametrize("values", [(0, 65_536), (-1, 100), (10**9, 10**9)], ids=str)
def test_whole_numbers_beyond_16_bits_are_refused_in_words(values):
    levels = np.full((40, 30), values[0], np.int32)
    levels[20:] = values[1]
    words = rf"image: its pixels are whole numbers from {values[0]} to {values[1]}, and only 0 \(black\) to 65535"
    with pytest.raises(ServiceError, match=words) as refused:
        tiled(saved(Image.fromarray(levels), "TIFF"))
    assert refused.value.status == 415
