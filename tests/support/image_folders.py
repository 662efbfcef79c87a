"""Folder of uploaded images with small pictures in it, and servers that share it, each of which is an object."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import numpy as np

from model.pixels.tiles import ImageFacts, ImageKey, TiledImage, TileKey
from service.api.image_folder.folder import ImageFolder
from service.api.image_folder.image_file import TileGeometry

TTL_S = 60.0
GEOMETRY = TileGeometry(5, 8)
ROOM = 100_000


class Clock:
    """The time of day that a server reads; files have the machine's own."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


def picture(name: str) -> TiledImage:
    key = hashlib.sha256(name.encode()).hexdigest()
    tiles = np.frombuffer(bytes.fromhex(key) * 30, np.uint8).reshape(5, 8, 8, 3)
    facts = ImageFacts("PNG", 2, has_transparency=True, warnings=("odd",))
    return TiledImage(ImageKey(key), 11, 7, tiles, facts, (TileKey(key),) * 5)


CAT = picture("cat")


def server(place: Path, clock: Clock, limit_bytes: int = ROOM) -> ImageFolder:
    folder = ImageFolder(place, limit_bytes, TTL_S, clock)
    folder.open()
    return folder


def file_of(place: Path, image: TiledImage = CAT) -> Path:
    [path] = place.glob(f"*/{image.image_key}.image")
    return path


def used(folder: ImageFolder, owner: str = "me", image: TiledImage = CAT) -> TiledImage | None:
    found = folder.use(owner, image.image_key, GEOMETRY, read=True)
    return None if found is None else found.image


def names(folder: ImageFolder, owner: str = "me") -> list[str]:
    return [head.image_key for head, _ in folder.owned(owner, 1000, GEOMETRY)]


def age(place: Path, image: TiledImage, seconds: float) -> None:
    """Say that an image was used and uploaded so long ago."""
    about = file_of(place, image).stat()
    os.utime(file_of(place, image), (about.st_mtime - seconds, about.st_mtime - seconds))
