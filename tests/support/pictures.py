"""Image files as people have them: odd, and of a picture that is whole all the same; each is made when it is needed."""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.support.hostile import png_chunk

SCENE = Path(__file__).parents[2] / "docs" / "images" / "scene.png"
SIGN = "4695"  # what the scene's sign says
# EXIF that no parser should be given: noise, a head without a directory, a directory that is cut, tags of odd types.
BROKEN_EXIF = {
    "garbage": b"Exif\0\0" + bytes(range(7, 107)),
    "cut": b"Exif\0\0II*\0\x08\0\0\0",
    "cut-in-a-tag": b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12\0\x03",
    "odd-types": b"Exif\0\0II*\0\x08\0\0\0\x02\0"
    + struct.pack("<HHII", 0x0112, 2, 400, 9_000_000)
    + struct.pack("<HHII", 0x011A, 5, 2, 0xFFFFFFFF)
    + bytes(4),
    "no-head": b"Exif\0\0",
}


@lru_cache
def scene() -> Image.Image:
    """The scene of the README, RGB."""
    with Image.open(SCENE) as opened:
        return opened.convert("RGB")


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def exif(orientation: int) -> bytes:
    """EXIF with nothing but an orientation mark."""
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + entry + bytes(4)


def with_exif(form: str, mark: bytes, image: Image.Image | None = None) -> bytes:
    """The scene with these bytes for its EXIF, which Pillow would not write."""
    image = image or scene()
    if form == "JPEG":
        return jpeg_with(saved(image, form, quality=95), 0xE1, mark)
    if form == "PNG":
        whole = saved(image, form)
        return whole[:33] + png_chunk(b"eXIf", mark.removeprefix(b"Exif\0\0")) + whole[33:]
    return saved(image, form, exif=mark, **({"lossless": True} if form == "WEBP" else {}))


def jpeg_with(file: bytes, marker: int, body: bytes) -> bytes:
    """A JPEG with one more segment behind its first one."""
    end = 4 + struct.unpack(">H", file[4:6])[0]
    return file[:end] + bytes([0xFF, marker]) + struct.pack(">H", 2 + len(body)) + body + file[end:]


def tiff_with(file: bytes, tags: list[tuple[int, int, int, int]]) -> bytes:
    """A little-endian TIFF with more tags, whose values may be anywhere."""
    start = struct.unpack("<I", file[4:8])[0]
    count = struct.unpack("<H", file[start : start + 2])[0]
    old = [file[start + 2 + 12 * index : start + 14 + 12 * index] for index in range(count)]
    entries = sorted([*old, *(struct.pack("<HHII", *tag) for tag in tags)], key=lambda each: each[:2][::-1])
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return file[:4] + struct.pack("<I", len(file)) + file[8:] + directory


def black_on_transparent() -> Image.Image:
    """A black sign on nothing, as screenshots and logos come: what is clear has no colour of its own."""
    grey = np.asarray(scene().convert("L"))
    ink = grey < 90
    pixels = np.zeros((*grey.shape, 4), np.uint8)
    pixels[..., 3] = ink * 255
    return Image.fromarray(pixels)


def on_white(image: Image.Image) -> Image.Image:
    """What a person sees of an RGBA image on white paper, by the formula."""
    pixels = np.asarray(image).astype(float)
    alpha = pixels[..., 3:] / 255
    return Image.fromarray((pixels[..., :3] * alpha + 255 * (1 - alpha) + 0.5).astype(np.uint8))


def png_with_text(kind: bytes, text_bytes: int) -> bytes:
    """The scene with a comment of so many bytes, compressed to a few."""
    body = {
        b"zTXt": b"Comment\0\0" + zlib.compress(bytes(text_bytes)),
        b"iTXt": b"Comment\0\1\0\0\0" + zlib.compress(bytes(text_bytes)),
        b"tEXt": b"Comment\0" + b"a" * text_bytes,
    }[kind]
    whole = saved(scene(), "PNG")
    return whole[:33] + png_chunk(kind, body) + whole[33:]


def frames(form: str, count: int) -> bytes:
    """An animation, or a document, whose first frame is red."""
    images = [Image.new("RGB", (16, 12), (255 - 40 * index, 40 * index, 0)) for index in range(count)]
    return saved(images[0], form, save_all=True, append_images=images[1:])
