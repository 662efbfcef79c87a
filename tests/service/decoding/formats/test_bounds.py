"""File checks: files that cost more than they show are refused before a reader sees them, and good ones are not."""

from __future__ import annotations

import time
from io import BytesIO

import pytest
from PIL import Image

from service.decoding.decode import tile
from service.decoding.formats import bmp, gif, heif, jpeg, png
from service.decoding.formats.known import read_file
from service.errors import InvalidField, TooLarge, UnsupportedImage
from service.images import ImageSource
from tests.support import hostile
from tests.support.serving import image_file

PIXELS = 50_000_000
FORMS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        pytest.param(hostile.scan_bomb(64, jpeg.MAX_SCANS + 1), "128 scans", id="scans"),
        pytest.param(hostile.jpeg_segments(jpeg.MAX_SEGMENTS + 1), "4096 segments", id="segments"),
        pytest.param(hostile.jpeg_segments(2_000_000), "4096 segments", id="millions-of-segments"),
        pytest.param(hostile.jpeg_padding(jpeg.MAX_JUNK_BYTES + 10), "65536 stray bytes", id="padding"),
        pytest.param(b"\xff\xd8\xff" + b"\x00" * 1_000_000, "65536 stray bytes", id="junk"),
        pytest.param(hostile.avif_boxes(heif.MAX_BOXES + 1), "16384 boxes", id="boxes"),
        pytest.param(hostile.gif_comments(gif.MAX_BLOCKS + 1), "65536 blocks", id="comment-blocks"),
        pytest.param(hostile.png_chunks(png.MAX_CHUNKS + 1), "16384 chunks", id="chunks"),
        pytest.param(hostile.bmp_runs(4000, bmp.MAX_RUN_BYTES + 2), "2097152 bytes of run-length", id="runs"),
    ],
)
def test_more_beside_the_picture_than_is_read_is_refused_at_once(file, words):
    began_s = time.process_time()
    with pytest.raises(InvalidField, match=words):
        read_file(file, PIXELS)
    assert time.process_time() - began_s < 1.0


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(hostile.tiff_tile(8_000), id="tiff-tile"),
        pytest.param(hostile.tiff_strip(8_000, 8_000, 8_000), id="tiff-strip"),
        pytest.param(hostile.tiff_twice(40_000), id="tiff-width-twice"),
        pytest.param(hostile.webp_canvas(16_000, 16_000), id="webp-canvas"),
        pytest.param(hostile.gif_wide_frame(60_000, 60_000), id="gif-frame"),
        pytest.param(hostile.avif_sized(60_000, 60_000), id="avif-image"),
    ],
)
def test_a_part_that_would_be_allocated_is_judged_by_its_own_size(file):
    with pytest.raises(TooLarge, match="pixels are more than the 50000000 allowed"):
        read_file(file, PIXELS)


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(hostile.scan_bomb(64, jpeg.MAX_SCANS), id="scans"),
        pytest.param(hostile.jpeg_segments(jpeg.MAX_SEGMENTS - 10), id="segments"),
        pytest.param(hostile.gif_comments(gif.MAX_BLOCKS - 10), id="comment-blocks"),
        pytest.param(hostile.png_chunks(png.MAX_CHUNKS - 10), id="chunks"),
        pytest.param(image_file("JPEG") + b"\xff\xda" * 1000, id="bytes-behind-a-jpeg"),
        *(pytest.param(image_file(form), id=form) for form in FORMS),
    ],
)
def test_what_stays_below_the_bounds_is_read(file):
    assert tile(ImageSource(file), max_pixels=PIXELS, tile_px=8, level=2).tiles.shape == (5, 8, 8, 3)


def test_a_large_progressive_photograph_is_read():
    file = BytesIO()
    Image.effect_noise((1500, 1000), 80).convert("RGB").save(file, "JPEG", progressive=True, quality=98)
    read_file(file.getvalue(), PIXELS)  # its noise holds many marker-like bytes


@pytest.mark.parametrize("form", FORMS)
def test_a_file_cut_anywhere_is_checked_without_an_accident(form):
    whole = image_file(form, (24, 16))
    for end in range(len(whole)):
        try:
            read_file(whole[:end], PIXELS)
        except UnsupportedImage:
            assert end < 12  # nothing that could be recognised
        except InvalidField as refusal:
            if "strips are missing" not in refusal.detail:
                pytest.fail(f"{form} cut at {end}: {refusal.detail}")
