"""Decoding: what is read, what is refused, with which status, and always before too much is decoded."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from contextlib import suppress
from io import BytesIO

import pytest
from PIL import Image

from service.decoding.decode import tile
from service.decoding.formats.picture_file import MAX_SIDE_PX
from service.errors import BadRequest, InvalidField, TooLarge, UnsupportedImage
from service.images import ImageSource, check_image_text
from tests.support.serving import data_uri, image_file


def tiled(content, max_pixels=1_000_000):
    return tile(ImageSource(content), max_pixels=max_pixels, tile_px=16, level=2)


def png_head(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing: what a decompression bomb looks like."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_every_format_of_the_interface_is_read(form):
    image = tiled(image_file(form))
    assert (image.width_px, image.height_px, image.tiles.shape) == (96, 64, (5, 16, 16, 3))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_kind_of_pixel_is_read(mode):
    picture = Image.new("I;16", (96, 64)) if mode == "I;16" else Image.new("RGB", (96, 64), "red").convert(mode)
    file = BytesIO()
    picture.save(file, "TIFF")
    assert tiled(file.getvalue()).tiles.shape == (5, 16, 16, 3)


def test_the_first_frame_of_an_animation_is_taken():
    red, blue = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    file = BytesIO()
    red.save(file, "GIF", save_all=True, append_images=[blue])
    assert tiled(file.getvalue()).tiles[0, 0, 0].tolist() == [255, 0, 0]


def test_a_data_uri_and_an_upload_of_the_same_file_are_the_same_image():
    uri = check_image_text(data_uri(image_file()))
    assert tile(uri, max_pixels=10**6, tile_px=16, level=2).image_key == tiled(image_file()).image_key


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        pytest.param(b"", InvalidField, "image: the file is empty", id="empty"),
        pytest.param(
            b"<svg xmlns='http://www.w3.org/2000/svg'/>", UnsupportedImage, "image: not of a format", id="svg"
        ),
        pytest.param(b"%PDF-1.7", UnsupportedImage, "send JPEG, PNG", id="pdf"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0", UnsupportedImage, "image: ", id="eps"),
        pytest.param(image_file("PPM"), UnsupportedImage, "image: ", id="a-format-pillow-knows-and-we-do-not-read"),
        pytest.param(image_file("JPEG")[:-300], InvalidField, "image: broken or cut short", id="jpeg-cut"),
        pytest.param(image_file("PNG")[:-300], InvalidField, "image: broken or cut short", id="png-cut"),
        pytest.param(image_file("WEBP")[:-300], InvalidField, "image: broken or cut short", id="webp-cut"),
        pytest.param(image_file("TIFF")[:200], InvalidField, "image: broken or cut short", id="tiff-cut"),
        pytest.param(image_file("GIF")[:40], InvalidField, "image: broken or cut short", id="gif-cut"),
        pytest.param(image_file("BMP")[:-300], InvalidField, "image: broken or cut short", id="bmp-cut"),
        pytest.param(b"\xff\xd8\xff" + b"\0" * 64, InvalidField, "image: broken or cut short", id="jpeg-of-zeros"),
        pytest.param(b"\x89PNG\r\n\x1a\n", InvalidField, "image: broken or cut short", id="png-of-nothing"),
        pytest.param(image_file(size=(1001, 1000)), TooLarge, "image: 1001 x 1000 pixels", id="too-many-pixels"),
        pytest.param(png_head(30_000, 30_000), TooLarge, "image: 30000 x 30000", id="beyond-pillows-own-limit"),
        pytest.param(png_head(10_000, 10_000), TooLarge, "image: 10000 x 10000", id="where-pillow-would-warn"),
        pytest.param(png_head(1, MAX_SIDE_PX + 1), TooLarge, "no side may be longer", id="needle"),
        pytest.param("data:image/png;base64,ab*c", BadRequest, "image_url: broken base64", id="base64-with-a-star"),
        pytest.param("data:image/png;base64,abcde", BadRequest, "image_url: broken base64", id="base64-cut"),
    ],
)
def test_what_cannot_be_served_is_refused_in_words(content, error, words):
    with pytest.raises(error) as caught:
        tiled(content)
    assert words in caught.value.detail


def test_too_many_pixels_are_refused_before_they_are_decoded():
    file = BytesIO()
    Image.new("RGB", (6000, 6000)).save(file, "PNG")  # 108 MB of pixels in a file of about 100 kB
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            tiled(file.getvalue())
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_no_single_broken_byte_is_answered_with_anything_but_an_image_or_a_refusal(form):
    whole = image_file(form, (24, 16))
    for place in range(0, min(len(whole), 400), 3):
        broken = bytearray(whole)
        broken[place] ^= 0xFF
        with suppress(TooLarge, UnsupportedImage, InvalidField):
            assert tiled(bytes(broken), 10_000).tiles.shape == (5, 16, 16, 3)
