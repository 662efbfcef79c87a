"""Folder of uploaded images that several servers share: whose they are, and how old.

One file an image, `FOLDER/HASH OF OWNER/IMAGE KEY.image`. The file is the truth: an image is there if its file is, and
as old as its file, whoever looks. Any thread; any number of processes and machines may share a folder. Every call may
take long, so none is for the event loop's thread. How large the folder may become is `housekeeping`'s business.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from model.pixels.tiles import ImageKey, TiledImage
from service.api.image_folder.housekeeping import SUFFIX, FolderUsage, Housekeeping, owner_directories
from service.api.image_folder.image_file import (
    HEAD_BYTES,
    DamagedFile,
    ImageFile,
    ImageHead,
    OtherGeometry,
    TileGeometry,
    packed,
)
from service.api.image_folder.owner_directory import (
    UNFINISHED,
    Entry,
    NoRegularFile,
    OwnerDirectory,
    entry_of,
    write_into,
)

NOTED_S = 60.0  # how exactly the time of an image's last use is known


class ImageFolderError(ValueError):
    """Folder that cannot be used; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class FoundImage:
    """An image in the folder, with or without its tiles."""

    left_s: float
    image: TiledImage | None = None


class ImageFolder:
    """Uploaded images in files, bounded in bytes and age.

    Args:
        folder: where.
        limit_bytes: what all files may add up to.
        ttl_s: age, counted from its latest upload, at which an image is gone.
        clock: Unix time in seconds.

    Attributes:
        place: where it is.
    """

    def __init__(self, folder: Path, limit_bytes: int, ttl_s: float, clock: Callable[[], float] = time.time) -> None:
        self.place = self._folder = folder
        self._ttl_s = ttl_s
        self._clock = clock
        self._housekeeping = Housekeeping(folder, limit_bytes, ttl_s, clock)
        self.tidy = self._housekeeping.tidy

    def open(self) -> FolderUsage:
        """Make the folder, for this user alone, if it is not there; try to write; count what is in it.

        Raises:
            ImageFolderError: that cannot be done.
        """
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            test = self._folder / f"test-{uuid4().hex}{UNFINISHED}"
            test.write_bytes(b"")
            test.unlink()
            return self.tidy()
        except (FileExistsError, NotADirectoryError):
            raise ImageFolderError(f"{self._folder} is no folder: choose another") from None
        except OSError as error:
            why = error.strerror or error
            raise ImageFolderError(
                f"{self._folder} cannot be used: {why}; make it writable for this user, or choose another"
            ) from None

    def fits(self, image_bytes: int) -> bool:
        """Say whether there is room for even one image of this size."""
        return image_bytes + HEAD_BYTES <= self._housekeeping.largest_bytes

    @property
    def wants_tidying(self) -> bool:
        """True if enough was written for the folder to be counted, or room to be made."""
        return self._housekeeping.is_due

    def write(self, owner: str, image: TiledImage) -> FoundImage:
        """Write an image, or renew it; once this returns every server finds it.

        Raises:
            OSError: it cannot be written.
        """
        directory = _directory_of(owner)
        parts = packed(directory, image)
        size_bytes = sum(map(len, parts))
        self._housekeeping.make_room(size_bytes)
        write_into(self._folder, directory, image.image_key + SUFFIX, *parts)
        self._housekeeping.note_written(size_bytes)
        return FoundImage(self._ttl_s)

    def use(self, owner: str, image_key: ImageKey, geometry: TileGeometry, *, read: bool) -> FoundImage | None:
        """Look up an image to be asked about, and note that it was used; None if it is not there.

        Args:
            owner: whose.
            image_key: which.
            geometry: what its tiles must be.
            read: whether to read it; else it is only looked up.

        Raises:
            DamagedFile: its file is no file of this image; it is removed.
            OtherGeometry: its tiles are others.
            OSError: the folder or the file cannot be read.
        """
        with self._opened(_directory_of(owner), image_key) as found:
            if found is None:
                return None
            if self._clock() - found.entry.used_s > NOTED_S:
                with suppress(OSError):  # a file of another user, or a read-only folder
                    # Of the open file, so that one uploaded meanwhile keeps its age. Set outright: most mounts do not
                    # note that a file is read.
                    os.utime(found.file.fileno(), ns=(int(self._clock() * 1e9), found.entry.written_ns))
            image = found.parsed().image(geometry) if read else None
            return FoundImage(self._left_s(found.entry), image)

    def describe(self, owner: str, image_key: ImageKey, geometry: TileGeometry) -> tuple[ImageHead, float] | None:
        """Return an image's head and the seconds left to it; None if it is not there.

        Raises:
            DamagedFile, OtherGeometry, OSError: as `use` says.
        """
        with self._opened(_directory_of(owner), image_key) as found:
            if found is None:
                return None
            parsed = found.parsed()
            parsed.check_geometry(geometry)
            return parsed.head, self._left_s(found.entry)

    def owned(self, owner: str, most: int, geometry: TileGeometry) -> list[tuple[ImageHead, float]]:
        """List an owner's images: up to `most` of those used last, most recently used last.

        Files that are damaged, or another user's, are left out.

        Raises:
            OSError: the folder cannot be read.
        """
        with OwnerDirectory.opened(self._folder, _directory_of(owner)) as owned:
            every = [] if owned is None else [each for each in owned.entries() if each.name.endswith(SUFFIX)]
        every.sort(key=lambda each: (each.used_s, each.name))
        found = []
        for entry in every[-most:]:
            with suppress(DamagedFile, OtherGeometry, PermissionError):
                described = self.describe(owner, ImageKey(entry.name.removesuffix(SUFFIX)), geometry)
                found += [] if described is None else [described]
        return found

    def remove(self, owner: str, image_key: ImageKey) -> bool:
        """Remove an image; return whether it was there.

        Raises:
            OSError: that cannot be done.
        """
        was_there = self._is_there(_directory_of(owner), image_key)
        with OwnerDirectory.opened(self._folder, _directory_of(owner)) as owned:
            return owned is not None and owned.remove(image_key + SUFFIX) and was_there

    def gone(self, images: Iterable[tuple[str, ImageKey]]) -> list[tuple[str, ImageKey]]:
        """Return those of some images, by owner and key, that are not there any more.

        Raises:
            OSError: the folder cannot be read.
        """
        return [(owner, key) for owner, key in images if not self._is_there(_directory_of(owner), key)]

    def nobodys(self, image_keys: Iterable[ImageKey]) -> list[ImageKey]:
        """Return those of some images that no owner has any more; what only looks like an owner's directory has none.

        Raises:
            OSError: the folder cannot be read.
        """
        directories = owner_directories(self._folder)
        return [key for key in image_keys if not any(self._has(each, key) for each in directories)]

    def _has(self, directory: str, image_key: ImageKey) -> bool:
        try:
            return self._is_there(directory, image_key)
        except (NotADirectoryError, PermissionError):  # a file or a link of that name; another user's directory
            return False

    def _is_there(self, directory: str, image_key: ImageKey) -> bool:
        with suppress(DamagedFile), self._opened(directory, image_key) as found:
            return found is not None
        return False

    def _left_s(self, entry: Entry) -> float:
        return min(self._ttl_s, entry.written_s + self._ttl_s - self._clock())

    @contextmanager
    def _opened(self, directory: str, image_key: ImageKey) -> Iterator[_OpenImage | None]:
        """Open an image's file, unless its time is over; it is removed if it turns out to be damaged."""
        name = image_key + SUFFIX
        with ExitStack() as stack:
            owned = stack.enter_context(OwnerDirectory.opened(self._folder, directory))
            if owned is None:
                yield None
                return
            seen: Entry | None = None
            try:
                try:
                    file = stack.enter_context(owned.reading(name))
                except FileNotFoundError:
                    yield None
                    return
                except NoRegularFile as error:
                    raise DamagedFile(str(error)) from None
                seen = entry_of(name, os.fstat(file.fileno()))
                yield _OpenImage(directory, image_key, file, seen) if self._left_s(seen) > 0 else None
            except DamagedFile as error:
                with suppress(OSError):  # the next upload writes it anew, or fails with what is wrong here
                    _ = owned.unlink(name) if seen is None else owned.remove_unless_renewed(seen)
                raise DamagedFile(f"removed {directory}/{name}, which {error}") from None


@dataclass(frozen=True, slots=True)
class _OpenImage:
    directory: str
    image_key: ImageKey
    file: BinaryIO
    entry: Entry

    def parsed(self) -> ImageFile:
        return ImageFile(self.file, self.directory, self.image_key)


def _directory_of(owner: str) -> str:
    """Name an owner's directory: a hash, so that a listing tells of no key and no group."""
    return hashlib.sha256(f"pheye images of {owner}".encode()).hexdigest()
