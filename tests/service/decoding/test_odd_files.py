"""Odd files of good pictures: nothing beside the picture refuses it, and it looks as in any viewer."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from service.errors import UnsupportedImage
from tests.support.decoded import LOSSLESS, assert_like, of_the_scene, tiled
from tests.support.hostile import png_chunk, tiff
from tests.support.pictures import (
    BROKEN_EXIF,
    black_on_transparent,
    exif,
    jpeg_with,
    on_white,
    png_with_text,
    saved,
    scene,
    tiff_with,
    with_exif,
)
from tests.support.profiles import cmyk_profile, rgb_profile


@pytest.mark.parametrize("name", BROKEN_EXIF)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_broken_exif_refuses_no_picture(form, name):
    if form == "AVIF":
        file = avif_with_exif(BROKEN_EXIF[name])
        assert_like(file, tiled(avif_with_exif(exif(1))))
    else:
        assert_like(with_exif(form, BROKEN_EXIF[name]), of_the_scene(form))


def avif_with_exif(mark: bytes) -> bytes:
    """An AVIF whose EXIF was overwritten after it was saved, as long as it is; Pillow would not write it."""
    good = Image.Exif()
    good[0x010E] = "x" * 400
    whole = saved(scene().resize((64, 48)), "AVIF", exif=good)
    start = whole.index(good.tobytes()[6:100])
    return whole[:start] + mark[6:].ljust(100, b"\xee")[:100] + whole[start + 100 :]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("mark", [3, 6, 8])
def test_an_orientation_mark_is_applied_whatever_the_format(form, mark):
    turned = scene().resize((120, 80))
    file = (
        tiff_with(saved(turned, "TIFF"), [(0x0112, 3, 1, mark)])
        if form == "TIFF"
        else with_exif(form, exif(mark), turned)
    )
    turn = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_270, 8: Image.Transpose.ROTATE_90}[mark]
    upright = turned.transpose(turn)
    expected = tiled(saved(upright, "PNG"))
    image = assert_like(file, expected, 255 if form == "JPEG" else 0)
    assert np.abs(image.tiles.astype(np.int16) - expected.tiles).mean() < 4


def test_an_avif_is_upright_by_its_container():
    turned = Image.Exif()
    turned[0x0112] = 6
    picture = scene().resize((120, 80))
    image = tiled(saved(picture, "AVIF", exif=turned))
    assert (image.width_px, image.height_px) == (80, 120)


@pytest.mark.parametrize("tag", [0x0112, 0x8769, 0x8825, 700, 34675, 33723, 0x0131, 282])
@pytest.mark.parametrize("kind", [2, 5, 7, 13, 99])
def test_no_tag_beside_the_picture_refuses_a_tiff(tag, kind):
    file = tiff_with(saved(scene(), "TIFF"), [(tag, kind, 40, 0xFFFFFF00)])
    assert assert_like(file, of_the_scene("TIFF")).image_key == of_the_scene("PNG").image_key


@pytest.mark.parametrize(
    ("marker", "body"),
    [
        pytest.param(0xE0, b"JFIF", id="jfif"),
        pytest.param(0xEE, b"Adobe\0", id="adobe"),
        pytest.param(0xED, b"Photoshop 3.0\x008BIM\x03\xed\0", id="photoshop"),
        pytest.param(0xE2, b"MPF\0II*\0\x08\0\0\0\xff\xff", id="index-of-pictures"),
        pytest.param(0xE2, b"ICC_PROFILE\0\x01", id="profile"),
        pytest.param(0xE2, b"ICC_PROFILE\0\x01\x09part", id="part-of-a-profile"),
        pytest.param(0xFE, b"", id="comment"),
    ],
)
def test_no_segment_beside_the_picture_refuses_a_jpeg(marker, body):
    file = jpeg_with(saved(scene(), "JPEG", quality=95), marker, body)
    assert_like(file, of_the_scene("JPEG"))


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"tEXt"])
def test_comments_of_any_size_refuse_no_png(kind):
    file = png_with_text(kind, 3_000_000)
    assert tiled(file).image_key == of_the_scene("PNG").image_key


@pytest.mark.parametrize(
    "chunk",
    [
        pytest.param(png_chunk(b"zTXt", b"Comment\0\x09nothing"), id="unknown-compression"),
        pytest.param(png_chunk(b"tEXt", b"interlace\0" + b"1"), id="a-text-called-interlace"),
        pytest.param(png_chunk(b"tEXt", b"transparency\0x"), id="a-text-called-transparency"),
        pytest.param(png_chunk(b"zTXt", b"Raw profile type exif\0\0noise"), id="raw-exif"),
        pytest.param(png_chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 5\nxyz"), id="no-digits"),
        pytest.param(png_chunk(b"iCCP", b"name\0\x07"), id="no-profile"),
        pytest.param(png_chunk(b"gAMA", b""), id="no-gamma"),
        pytest.param(png_chunk(b"cHRM", b"1"), id="no-primaries"),
        pytest.param(png_chunk(b"pHYs", b"1"), id="no-density"),
        pytest.param(png_chunk(b"acTL", b"1"), id="no-animation"),
        pytest.param(png_chunk(b"fcTL", b"1"), id="no-frame"),
        pytest.param(png_chunk(b"eXIf", exif(1)[6:])[:-4] + b"\0\0\0\0", id="wrong-checksum"),
    ],
)
def test_no_chunk_beside_the_picture_refuses_a_png(chunk):
    whole = saved(scene(), "PNG")
    assert tiled(whole[:33] + chunk + whole[33:]).image_key == of_the_scene("PNG").image_key


def test_orientation_in_the_text_of_a_png_still_counts():
    picture = scene().resize((120, 80))
    whole = saved(picture, "PNG")
    digits = exif(6).hex()
    text = png_chunk(b"tEXt", f"Raw profile type exif\0\nexif\n {len(exif(6))}\n{digits}\n".encode())
    xmp = png_chunk(b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>')
    for chunk in (text, xmp):
        assert tiled(whole[:33] + chunk + whole[33:]).width_px == 80


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF", "AVIF"])
def test_a_black_sign_on_nothing_is_a_black_sign_on_white(form):
    clear = black_on_transparent()
    image = assert_like(saved(clear, form, **LOSSLESS[form]), tiled(saved(on_white(clear), "PNG")), 3)
    assert image.facts.has_transparency


def test_a_palette_and_a_gif_are_transparent_too():
    clear = black_on_transparent()
    expected = tiled(saved(on_white(clear), "PNG"))
    palette = clear.quantize(8)
    for file in (saved(palette, "PNG"), saved(clear, "GIF")):
        assert assert_like(file, expected, 3).facts.has_transparency


@pytest.mark.parametrize("place", [(0, 0), (12, 8)])
def test_what_the_first_frame_of_a_gif_does_not_cover_is_white(place):
    screen, red = (64, 48), Image.new("P", (40, 30), 1)
    red.putpalette([0, 0, 0, 255, 0, 0])
    file = bytearray(saved(red, "GIF"))
    start = file.index(b",", 13)
    file[6:10], file[start + 1 : start + 5] = struct.pack("<HH", *screen), struct.pack("<HH", *place)
    expected = Image.new("RGB", screen, "white")
    expected.paste(red.convert("RGB"), place)
    image = tiled(bytes(file))
    assert image.image_key == tiled(saved(expected, "PNG")).image_key
    assert image.facts.has_transparency


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_clear_tone_of_a_grey_png_is_that_tone_at_every_depth(bits):
    most = 2**bits - 1
    dtype, levels = (">u2", most) if bits == 16 else (np.uint8, most)
    image = np.where(np.arange(64)[:, None] * np.ones(64) < 32, 0, levels).astype(dtype)
    packed = (
        image if bits >= 8 else np.packbits(((image[..., None] >> np.arange(bits)[::-1]) & 1).reshape(64, -1), axis=1)
    )
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    head = struct.pack(">IIBBBBB", 64, 64, bits, 0, 0, 0, 0)
    parts = (b"IHDR", head), (b"tRNS", struct.pack(">H", 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    result = tiled(b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in parts))
    assert result.facts.has_transparency
    assert result.tiles.min() == 255


@pytest.mark.parametrize("interlaced", [False, True], ids=["plain", "interlaced"])
def test_a_clear_colour_of_16_bits_is_that_colour_in_all_its_bits(interlaced):
    pixels = np.full((64, 64, 3), 0x1234, ">u2")
    pixels[32:, :, 2] = 0x1235  # as dark as the clear colour in the upper 8 bits
    steps = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    passes = [pixels[top::down, left::across] for top, left, down, across in steps] if interlaced else [pixels]
    rows = b"".join(b"\0" + row.tobytes() for part in passes for row in part)
    head = struct.pack(">IIBBBBB", 64, 64, 16, 2, 0, 0, interlaced)
    clear = struct.pack(">HHH", 0x1234, 0x1234, 0x1234)
    parts = (b"IHDR", head), (b"tRNS", clear), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    expected = Image.new("RGB", (64, 64), "white")
    expected.paste((0x12, 0x12, 0x12), (0, 32, 64, 64))
    result = tiled(b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in parts))
    assert result.image_key == tiled(saved(expected, "PNG")).image_key
    assert result.facts.has_transparency


def test_an_empty_alpha_channel_of_a_bmp_means_nothing():
    pixels = np.dstack([np.asarray(scene())[::-1, :, ::-1], np.zeros((scene().height, scene().width), np.uint8)])
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = struct.pack("<IiiHHIIiiII", 108, scene().width, scene().height, 1, 32, 3, pixels.size, 0, 0, 0, 0) + masks
    head = head.ljust(108, b"\0")
    file = b"BM" + struct.pack("<IHHI", 14 + 108 + pixels.size, 0, 0, 14 + 108) + head + pixels.tobytes()
    image = tiled(file)
    assert image.image_key == of_the_scene("PNG").image_key
    assert not image.facts.has_transparency


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_a_colour_profile_is_found_in_every_format(form):
    plain = Image.new("RGB", (32, 32), (200, 100, 50))
    image = tiled(saved(plain, form, icc_profile=rgb_profile(), **LOSSLESS.get(form, {"quality": 95})))
    assert image.tiles[0, 40, 40].tolist() == pytest.approx([213, 95, 31], abs=4)


def test_ink_with_a_profile_is_converted_by_it():
    ink = Image.new("CMYK", (32, 32), (128, 0, 0, 0))
    with_profile, plain = (tiled(saved(ink, "JPEG", icc_profile=each)) for each in (cmyk_profile(), None))
    assert plain.tiles[0, 40, 40].tolist() == pytest.approx([127, 255, 255], abs=2)
    assert with_profile.tiles[0, 40, 40, 2] < 200 < with_profile.tiles[0, 40, 40, 0]


@pytest.mark.parametrize("compression", ["raw", "tiff_deflate"])
def test_a_floating_point_tiff_is_read_from_0_to_1_and_else_refused(compression):
    grey = scene().convert("L")
    levels = np.asarray(grey).astype(np.float32)
    file = saved(Image.fromarray(levels / 255), "TIFF", compression=compression)
    assert_like(file, tiled(saved(grey, "PNG")))
    with pytest.raises(UnsupportedImage, match=r"floating-point numbers from 75 to 2\d\d, and only 0"):
        tiled(saved(Image.fromarray(levels), "TIFF", compression=compression))


def test_kinds_of_pixels_that_are_not_read_are_refused_as_such():
    pixels = bytes(12 * 16)
    file = tiff({256: 4, 257: 4, 258: 64, 259: 1, 262: 1, 273: 0, 277: 1, 278: 4, 279: len(pixels), 339: 3}, pixels)
    with pytest.raises(UnsupportedImage, match="its pixels are of a kind that is not read here"):
        tiled(file)
