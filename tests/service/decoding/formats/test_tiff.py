"""TIFF as scanners, microscopes and maps write it: deep grey, either order of bytes, white for 0, separate planes."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

import numpy as np
import pytest
from PIL import Image

from service.errors import InvalidField, UnsupportedImage
from tests.support.decoded import assert_like, tiled
from tests.support.pictures import saved, scene

SIZE = WIDTH, HEIGHT = 96, 64
_FLOAT, _SIGNED, _UNSIGNED = 3, 2, 1


@dataclass
class Tiff:
    """A TIFF of these strips or tiles; `tags` beside its size may have several numbers each."""

    parts: list[bytes]
    tags: dict[int, list[int]] = field(default_factory=dict)
    order: str = "<"
    packed: bool = False
    places: tuple[int, int] = (273, 279)

    def file(self) -> bytes:
        parts = [zlib.compress(part) for part in self.parts] if self.packed else self.parts
        tags = {256: [WIDTH], 257: [HEIGHT], 259: [8 if self.packed else 1]} | self.tags
        body, starts = b"", []
        for part in parts:
            starts.append(8 + len(body))
            body += part
        tags |= {self.places[0]: starts, self.places[1]: list(map(len, parts))}
        entries = b""
        for tag, values in sorted(tags.items()):
            numbers = struct.pack(f"{self.order}{len(values)}I", *values)
            if len(values) > 1:
                numbers, body = struct.pack(f"{self.order}I", 8 + len(body)), body + numbers
            entries += struct.pack(f"{self.order}HHI", tag, 4, len(values)) + numbers
        mark = b"II*\0" if self.order == "<" else b"MM\0*"
        directory = struct.pack(f"{self.order}H", len(entries) // 12) + entries + bytes(4)
        return mark + struct.pack(f"{self.order}I", 8 + len(body)) + body + directory


def grey() -> Image.Image:
    return scene().convert("L").resize(SIZE)


def levels(kind: str) -> np.ndarray:
    """The grey scene in numbers of this kind, of which the highest is white."""
    return np.asarray(grey()).astype(kind) * {"f4": 1 / 255}.get(kind, 257)


def grey_file(kind: str, order: str, *, negative: bool, packed: bool) -> bytes:
    deep = levels(kind)
    deep = (1 if kind == "f4" else 65_535) - deep if negative else deep
    sign = {"f": _FLOAT, "i": _SIGNED, "u": _UNSIGNED}[kind[0]]
    tags = {258: [int(kind[1]) * 8], 262: [0 if negative else 1], 277: [1], 278: [HEIGHT], 339: [sign]}
    return Tiff([deep.astype(f"{order}{kind}").tobytes()], tags, order, packed).file()


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("negative", [False, True], ids=["black-is-0", "white-is-0"])
@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
@pytest.mark.parametrize("kind", ["u2", "u4", "i4", "f4"])
def test_deep_grey_is_read_in_either_order_of_bytes_and_whatever_is_white(kind, order, negative, packed):
    file = grey_file(kind, order, negative=negative, packed=packed)
    assert_like(file, tiled(saved(grey(), "PNG")), 1)


def signed_file(bits: int, order: str, *, negative: bool, packed: bool) -> bytes:
    """The grey scene in numbers that have a sign, of which the highest is white."""
    levels = np.asarray(grey()).astype(np.int32) >> 1 if bits == 8 else np.asarray(grey()).astype(np.int32) * 257 >> 1
    levels = 2 ** (bits - 1) - 1 - levels if negative else levels
    tags = {258: [bits], 262: [0 if negative else 1], 277: [1], 278: [HEIGHT], 339: [_SIGNED]}
    return Tiff([levels.astype(f"{order}i{bits // 8}").tobytes()], tags, order, packed).file()


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("negative", [False, True], ids=["black-is-0", "white-is-0"])
@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
@pytest.mark.parametrize("bits", [8, 16])
def test_numbers_with_a_sign_are_as_bright_as_those_without(bits, order, negative, packed):
    file = signed_file(bits, order, negative=negative, packed=packed)
    assert_like(file, tiled(saved(grey(), "PNG")), 1 if bits == 16 else 3)  # of 8 bits one says the sign


@pytest.mark.parametrize("bits", [8, 16])
def test_numbers_below_0_are_refused_in_words(bits):
    pixels = np.full((HEIGHT, WIDTH), 7, f"<i{bits // 8}")
    pixels[3, 4] = -5
    tags = {258: [bits], 262: [1], 277: [1], 278: [HEIGHT], 339: [_SIGNED]}
    with pytest.raises(UnsupportedImage, match=rf"from -5 to 7, and only 0 \(black\) to {2 ** (bits - 1) - 1} "):
        tiled(Tiff([pixels.tobytes()], tags).file())


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("negative", [False, True], ids=["black-is-0", "white-is-0"])
def test_twelve_bits_are_read_from_black_to_white(negative, packed):
    twelve = levels("u2") >> 4
    bits = np.unpackbits(
        (4095 - twelve if negative else twelve).astype(">u2").view(np.uint8).reshape(HEIGHT, WIDTH, 2), axis=2
    )
    rows = np.packbits(bits[..., 4:].reshape(HEIGHT, -1), axis=1).tobytes()
    tags = {258: [12], 262: [0 if negative else 1], 277: [1], 278: [HEIGHT]}
    assert_like(Tiff([rows], tags, packed=packed).file(), tiled(saved(grey(), "PNG")))


def planes_of(pixels: np.ndarray, *, tile_px: int = 0, rows: int = HEIGHT) -> list[bytes]:
    """The strips or tiles of each plane, one plane after the other."""
    planes = np.moveaxis(pixels, 2, 0)
    if not tile_px:
        return [plane[top : top + rows].tobytes() for plane in planes for top in range(0, HEIGHT, rows)]
    down, across = -(-HEIGHT // tile_px), -(-WIDTH // tile_px)
    room = (0, down * tile_px - HEIGHT), (0, across * tile_px - WIDTH)
    return [
        np.pad(plane, room)[top : top + tile_px, left : left + tile_px].tobytes()
        for plane in planes
        for top in range(0, HEIGHT, tile_px)
        for left in range(0, WIDTH, tile_px)
    ]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("layout", [{}, {"rows": 7}, {"tile_px": 48}], ids=["whole", "strips", "tiles"])
@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
@pytest.mark.parametrize("size", [1, 2], ids=["8-bits", "16-bits"])
@pytest.mark.parametrize("alpha", [False, True], ids=["opaque", "alpha"])
def test_colours_in_separate_planes_are_put_together(alpha, size, order, layout, packed):
    pixels = np.dstack([np.asarray(scene().resize(SIZE)), np.full((HEIGHT, WIDTH), 255, np.uint8)])
    pixels = pixels[..., : 3 + alpha].astype(f"{order}u{size}") * (257 if size == 2 else 1)
    tags = {258: [8 * size] * (3 + alpha), 262: [2], 277: [3 + alpha], 284: [2]} | ({338: [1]} if alpha else {})
    if tile_px := layout.get("tile_px"):
        tags |= {322: [tile_px], 323: [tile_px]}
    else:
        tags[278] = [layout.get("rows", HEIGHT)]
    parts = planes_of(pixels.astype(f"{order}u{size}"), **layout)
    file = Tiff(parts, tags, order, packed, (324, 325) if tile_px else (273, 279)).file()
    assert_like(file, tiled(saved(scene().resize(SIZE), "PNG")))


def grey_and_alpha(*, packed: bool) -> bytes:
    pixels = np.dstack([np.asarray(grey()), np.full((HEIGHT, WIDTH), 255, np.uint8)])
    tags = {258: [8, 8], 262: [1], 277: [2], 278: [HEIGHT], 284: [2], 338: [2]}
    return Tiff(planes_of(pixels), tags, packed=packed).file()


def test_grey_and_alpha_in_separate_planes_are_put_together_or_refused_as_such():
    assert_like(grey_and_alpha(packed=False), tiled(saved(grey(), "PNG")))
    with pytest.raises(UnsupportedImage, match="grey and alpha in separate planes"):
        tiled(grey_and_alpha(packed=True))


def test_planes_that_are_not_all_there_or_share_their_bytes_are_cut_short():
    parts = planes_of(np.asarray(scene().resize(SIZE)))
    tags = {258: [8, 8, 8], 262: [2], 277: [3], 278: [HEIGHT], 284: [2]}
    for fewer in (parts[:2], [parts[0], parts[1], b"x"]):
        with pytest.raises(InvalidField, match=r"some of its planes are missing|strips are missing"):
            tiled(Tiff(fewer, tags).file())


def test_a_big_endian_bigtiff_is_refused_as_such():
    with pytest.raises(UnsupportedImage, match="a BigTIFF in big-endian order"):
        tiled(b"MM\0+\0\x08\0\0" + struct.pack(">QQ", 16, 0) + bytes(64))
