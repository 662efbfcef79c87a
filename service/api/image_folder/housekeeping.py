"""Bounds of the folder of uploaded images: files that are too old or too many go, and what is left is counted.

Several servers may do this at the same time, and each may write while others count. Any thread.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from service.api.image_folder.eviction import losers
from service.api.image_folder.eviction_lock import eviction_lock
from service.api.image_folder.owner_directory import Entry, OwnerDirectory, is_leftover, root_opened

SUFFIX = ".image"
FILL = 0.9  # share of the bound that eviction leaves
COUNTED_SHARE = 0.01  # of the bound: bytes written after which the folder is counted anew, because others write too
WAITING_SHARE = 0.02  # of the bound: how far beyond it files are written while room is being made
ABANDONED_S = 600.0  # age of a leftover whose process must have died
_DIRECTORY_NAME = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FolderUsage:
    """Content of the folder when it was counted, and what went wrong then."""

    images: int
    size_bytes: int
    errors: tuple[str, ...] = ()


@dataclass(slots=True)
class _Counted:
    images: dict[str, list[Entry]]  # by owner's directory
    image_count: int
    total_bytes: int


class Housekeeping:
    """Age and bytes of the files in a folder.

    For a moment the folder may be beyond the bound: by a hundredth of it for each server that writes, by two hundredths
    more while room is being made, and by the files that are just being written.

    Args:
        folder: where.
        limit_bytes: what all files may add up to.
        ttl_s: age at which an image is gone.
        clock: Unix time in seconds.
    """

    def __init__(self, folder: Path, limit_bytes: int, ttl_s: float, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._ttl_s = ttl_s
        self._clock = clock
        self._lock = threading.Lock()
        self._tidying = threading.Lock()
        self._known_bytes = 0  # counted, and written since
        self._written_bytes = 0  # since the last count

    @property
    def largest_bytes(self) -> float:
        """The size of a file for which there is room when all others have gone."""
        return FILL * self._limit_bytes

    @property
    def is_due(self) -> bool:
        """True if enough was written for the folder to be counted, or room to be made."""
        return self._written_bytes > COUNTED_SHARE * self._limit_bytes or self._known_bytes > self._limit_bytes

    def make_room(self, coming_bytes: int) -> None:
        """Make room before a file is written, if that cannot wait.

        Raises:
            OSError: the folder cannot be read.
        """
        if self._known_bytes + coming_bytes > (1 + WAITING_SHARE) * self._limit_bytes:
            self.tidy(coming_bytes)

    def note_written(self, size_bytes: int) -> None:
        """Note that a file was written; one that took another's place is counted twice until the next count."""
        with self._lock:
            self._known_bytes += size_bytes
            self._written_bytes += size_bytes

    def tidy(self, coming_bytes: int = 0) -> FolderUsage:
        """Count the folder, remove what is too old, and make room where it is too large.

        Raises:
            OSError: the folder cannot be read.
        """
        with self._tidying:
            with self._lock:
                known_bytes = self._known_bytes
            errors: list[str] = []
            counted = self._count(errors)
            if counted.total_bytes + coming_bytes > self._limit_bytes:
                with eviction_lock(self._folder):
                    errors.clear()
                    counted = self._count(errors)  # another server may have made room meanwhile
                    self._evict(counted, coming_bytes, errors)
            with self._lock:
                meanwhile_bytes = self._known_bytes - known_bytes
                self._known_bytes, self._written_bytes = counted.total_bytes + meanwhile_bytes, meanwhile_bytes
            return FolderUsage(counted.image_count, counted.total_bytes, tuple(errors))

    def _count(self, errors: list[str]) -> _Counted:
        living = {each: self._living(each, errors) for each in owner_directories(self._folder)}
        images = {each: [entry for entry in held if _is_image(entry)] for each, held in living.items()}
        total_bytes = sum(entry.size_bytes for held in living.values() for entry in held if _is_ours(entry))
        return _Counted(images, sum(map(len, images.values())), total_bytes)

    def _evict(self, counted: _Counted, coming_bytes: int, errors: list[str]) -> None:
        """Remove files down to `FILL` of the bound, if what was counted is beyond it; keeps the count true."""
        wanted_bytes = counted.total_bytes + coming_bytes
        if wanted_bytes <= self._limit_bytes:
            return
        for directory, entry in losers(counted.images, wanted_bytes - FILL * self._limit_bytes):
            if self._removed(directory, entry, errors):
                counted.total_bytes -= entry.size_bytes
                counted.image_count -= 1

    def _living(self, directory: str, errors: list[str]) -> Sequence[Entry]:
        """List what counts in an owner's directory; what is too old is removed, and a directory without anything."""
        living, now_s = [], self._clock()
        try:
            with OwnerDirectory.opened(self._folder, directory) as owned:
                for entry in [] if owned is None else owned.entries():
                    most_s = ABANDONED_S if is_leftover(entry.name) else self._ttl_s
                    if not _is_ours(entry) or now_s - entry.written_s < most_s:
                        living.append(entry)
                    else:
                        self._removed(directory, entry, errors)
            if not living:
                with suppress(OSError), root_opened(self._folder) as root:
                    os.rmdir(directory, dir_fd=root)
        except OSError as error:
            errors.append(f"{directory[:8]}: {error.strerror or error}")
        return living

    def _removed(self, directory: str, entry: Entry, errors: list[str]) -> bool:
        try:
            with OwnerDirectory.opened(self._folder, directory) as owned:
                return owned is not None and owned.remove_unless_renewed(entry)
        except OSError as error:
            errors.append(f"{entry.name[:8]}: {error.strerror or error}")
            return False


def owner_directories(folder: Path) -> list[str]:
    """List the directories of all owners.

    Raises:
        OSError: the folder cannot be read.
    """
    with root_opened(folder) as root:
        return [name for name in os.listdir(root) if _DIRECTORY_NAME.fullmatch(name)]


def _is_ours(entry: Entry) -> bool:
    """Return whether a file counts: no room is made for what others have put here, since it cannot be removed."""
    return is_leftover(entry.name) or _is_image(entry)


def _is_image(entry: Entry) -> bool:
    return entry.name.endswith(SUFFIX)
