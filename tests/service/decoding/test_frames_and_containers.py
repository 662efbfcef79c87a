"""Frames are counted, undecoded; AVIF and HEIC are told from other files of their container."""

from __future__ import annotations

import struct
from io import BytesIO

import numpy as np
import pytest

from service.decoding.formats import heif
from service.errors import InvalidField, TooLarge, UnsupportedImage
from tests.support.decoded import assert_like, of_the_scene, tiled
from tests.support.pictures import (
    frames,
    jpeg_with,
    saved,
    scene,
)


@pytest.mark.parametrize(("form", "count"), [("GIF", 5), ("PNG", 4), ("WEBP", 3), ("TIFF", 6), ("AVIF", 3)])
def test_the_first_frame_is_read_and_the_others_counted(form, count):
    image = tiled(frames(form, count))
    assert image.facts.frames == count
    assert image.tiles[0, 40, 40].tolist() == pytest.approx([255, 0, 0], abs=6)


def test_several_pictures_in_a_jpeg_are_counted_but_not_gain_maps():
    picture = saved(scene().resize((64, 48)), "MPO", save_all=True, append_images=[scene().resize((64, 48))])
    assert tiled(picture).facts.frames == 2
    assert tiled(picture).facts.format == "JPEG"
    gain_map = jpeg_with(picture, 0xE1, b'http://ns.adobe.com/xap/1.0/\0<x hdrgm:Version="1.0"/>')
    assert tiled(gain_map).facts.frames == 1


def test_pages_in_a_circle_are_counted_once():
    whole = bytearray(saved(scene(), "TIFF"))
    start = struct.unpack("<I", whole[4:8])[0]
    after = start + 2 + 12 * struct.unpack("<H", whole[start : start + 2])[0]
    whole[after : after + 4] = struct.pack("<I", start)
    assert tiled(bytes(whole)).facts.frames == 1


def test_a_million_frames_are_counted_as_far_as_10_000():
    first = frames("GIF", 2)
    tiny = b",\0\0\0\0\1\0\1\0\0\x02\x02L\x01\0"
    assert tiled(first[:-1] + tiny * 1_000_000 + b";").facts.frames == 10_000


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1", b"hevc"], ids=lambda brand: brand.decode())
def test_heic_without_its_extra_is_refused_by_its_name(brand, monkeypatch):
    monkeypatch.setattr(heif, "HAS_HEIC", False)
    file = struct.pack(">I4s4sI4s4s", 24, b"ftyp", brand, 0, b"mif1", brand) + bytes(100)
    with pytest.raises(UnsupportedImage, match=r"HEIC.*pheye-service\[heic\]"):
        tiled(file)


def test_a_film_is_not_taken_for_a_picture():
    with pytest.raises(UnsupportedImage, match="a film"):
        tiled(struct.pack(">I4s4sI4s", 20, b"ftyp", b"isom", 0, b"mp42") + bytes(100))


def test_heic_is_read_where_its_extra_is_installed():
    pillow_heif = pytest.importorskip("pillow_heif")
    file = BytesIO()
    image = pillow_heif.from_pillow(scene())
    image.save(file, quality=-1)
    read = assert_like(file.getvalue(), of_the_scene("PNG"), 255)
    assert np.abs(read.tiles.astype(np.int16) - of_the_scene("PNG").tiles).mean() < 4
    assert read.facts.format == "HEIC"
    with pytest.raises(TooLarge):
        tiled(file.getvalue(), max_pixels=1000)
    for end in (100, 400, len(file.getvalue()) - 50):
        with pytest.raises(InvalidField):
            tiled(file.getvalue()[:end])


def test_the_size_that_an_avif_claims_is_judged_before_it_is_read():
    whole = saved(scene(), "AVIF")
    place = whole.index(b"ispe") + 8
    claimed = whole[:place] + struct.pack(">II", 60_000, 60_000) + whole[place + 8 :]
    with pytest.raises(TooLarge, match="60000 x 60000"):
        tiled(claimed)
