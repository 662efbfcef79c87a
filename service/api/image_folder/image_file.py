"""File format of an uploaded image: a line of checksums, a line of JSON, and the tiles as raw bytes.

Owns what is believed of such a file: nothing that its checksums, its place and its size do not bear out. Any thread.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Annotated, BinaryIO

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model.pixels.tiles import PREPROCESSING, ImageFacts, ImageKey, TiledImage, TileKey

MARK = b"pheye-image-1"
SUMS_BYTES = 256  # more than the first line ever has
HEAD_BYTES = 65_536  # more than the second

_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Count = Annotated[int, Field(ge=1, le=1 << 31)]


class DamagedFile(ValueError):
    """The file is none of an image, or not the one that it should be; the message says why."""


class OtherGeometry(ValueError):
    """The image's tiles are of another size or number than the model's, or were made in another way."""


@dataclass(frozen=True, slots=True)
class TileGeometry:
    """Shape of the tiles that a model takes, and how they are made."""

    tiles: int
    tile_px: int
    preprocessing: int = PREPROCESSING

    @property
    def size_bytes(self) -> int:
        """The bytes of an image's tiles: one for each of red, green and blue."""
        return self.tiles * self.tile_px**2 * 3


class ImageHead(BaseModel):
    """Second line of the file: whose image it is, and everything about it but its tiles."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    directory: _Digest
    image_key: _Digest
    preprocessing: int
    tiles: _Count
    tile_px: _Count
    width_px: _Count
    height_px: _Count
    facts: ImageFacts
    tile_keys: tuple[_Digest, ...]

    @property
    def geometry(self) -> TileGeometry:
        """The shape of its tiles."""
        return TileGeometry(self.tiles, self.tile_px, self.preprocessing)


def packed(directory: str, image: TiledImage) -> tuple[bytes, bytes]:
    """Write an image as the content of a file in an owner's directory: what comes before its tiles, and these."""
    count, tile_px, *_ = image.tiles.shape
    tiles = image.tiles.tobytes()
    head = ImageHead(
        directory=directory,
        image_key=image.image_key,
        preprocessing=PREPROCESSING,
        tiles=count,
        tile_px=tile_px,
        width_px=image.width_px,
        height_px=image.height_px,
        facts=image.facts,
        tile_keys=image.tile_keys,
    )
    line = head.model_dump_json().encode() + b"\n"
    return b" ".join((MARK, _sum(line), _sum(tiles))) + b"\n" + line, tiles


class ImageFile:
    """An open file of an image: its head is read and checked, its tiles are not.

    Raises:
        DamagedFile: it is none, or not the file of this image of this owner.
    """

    def __init__(self, file: BinaryIO, directory: str, image_key: str) -> None:
        self._file = file
        sums = file.readline(SUMS_BYTES).split(b" ")
        if len(sums) != 3 or sums[0] != MARK:
            raise DamagedFile("is no file of an image")
        line = file.readline(HEAD_BYTES)
        if _sum(line) != sums[1]:
            raise DamagedFile("has a damaged head")
        self._tiles_sum = sums[2].strip()
        try:
            self.head = ImageHead.model_validate_json(line)
        except ValidationError as error:
            raise DamagedFile(f"has a head with {error.error_count()} wrong fields") from None
        if (self.head.directory, self.head.image_key) != (directory, image_key):
            raise DamagedFile("belongs elsewhere")

    def check_geometry(self, geometry: TileGeometry) -> None:
        """Check that the tiles are those that a model takes.

        Raises:
            OtherGeometry: they are others.
        """
        if self.head.geometry != geometry:
            raise OtherGeometry(f"has {self.head.geometry}")

    def image(self, geometry: TileGeometry) -> TiledImage:
        """Read the tiles of the stored image, as a request uses them.

        Raises:
            OtherGeometry: its tiles are not of this geometry.
            DamagedFile: they are too few, too many or changed.
        """
        self.check_geometry(geometry)
        head, size_bytes = self.head, geometry.size_bytes  # that of the model: a head cannot make it large
        if os.fstat(self._file.fileno()).st_size != self._file.tell() + size_bytes:
            raise DamagedFile("is too short or too long")
        content = bytearray(size_bytes)
        if self._file.readinto(content) != size_bytes or _sum(content) != self._tiles_sum:  # type: ignore[attr-defined]
            raise DamagedFile("has damaged tiles")
        if len(head.tile_keys) not in (0, head.tiles):
            raise DamagedFile(f"has {len(head.tile_keys)} keys for {head.tiles} tiles")
        tiles = np.frombuffer(content, np.uint8).reshape(head.tiles, head.tile_px, head.tile_px, 3)
        keys = tuple(map(TileKey, head.tile_keys))
        return TiledImage(ImageKey(head.image_key), head.width_px, head.height_px, tiles, head.facts, keys)


def _sum(content: bytes | bytearray) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
