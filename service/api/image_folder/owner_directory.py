"""Directory of one owner's files: opened without following links, written whole, removed unless renewed meanwhile.

Every name is looked up in the open directory, so no name leads out of it. Knows no image. Any thread or process.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

UNFINISHED = ".unfinished"
_ASIDE = ".aside"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_ATTEMPTS = 3  # at a directory that others may just be removing because it is empty


class NoRegularFile(OSError):
    """A link, a directory, a pipe or a socket, where a file should be."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a directory, as the file system describes it."""

    name: str
    size_bytes: int
    written_ns: int
    used_s: float

    @property
    def written_s(self) -> float:
        """The time of its latest upload."""
        return self.written_ns / 1e9


def entry_of(name: str, about: os.stat_result) -> Entry:
    """Describe a file: it is as old as its content, and was used when it was read last, where that is noted."""
    return Entry(name, about.st_size, about.st_mtime_ns, max(about.st_atime, about.st_mtime))


@contextmanager
def root_opened(folder: Path) -> Iterator[int]:
    """Open the folder of all owners.

    Raises:
        OSError: it is not there, or cannot be read.
    """
    root = os.open(folder, _DIRECTORY)
    try:
        yield root
    finally:
        os.close(root)


class OwnerDirectory:
    """Open directory of an owner; of no use outside of `opened`."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, name: str) -> Iterator[OwnerDirectory | None]:
        """Open the directory of an owner; None if there is none.

        Raises:
            OSError: the folder itself is not there, or cannot be read, or the directory is a link.
        """
        with root_opened(folder) as root:
            try:
                handle = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=root)
            except FileNotFoundError:
                yield None
                return
        try:
            yield cls(handle)
        finally:
            os.close(handle)

    @contextmanager
    def reading(self, name: str) -> Iterator[BinaryIO]:
        """Open an image file of this owner for reading.

        Raises:
            FileNotFoundError: there is none.
            NoRegularFile: it is a link, a directory, a pipe.
            OSError: it cannot be read.
        """
        # Opening asks a network file system for what is true now; its `stat` may repeat what it knew seconds ago. A
        # pipe of this name must not make the opening wait.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            handle = os.open(name, flags, dir_fd=self._handle)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):  # a link, a socket
                raise NoRegularFile(error.errno, "is no regular file") from None
            raise
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise NoRegularFile(errno.EINVAL, "is no regular file")
        with open(handle, "rb") as file:
            yield file

    def write(self, name: str, *parts: bytes) -> None:
        """Write a file that appears whole under its name, or not at all, for this user alone.

        Raises:
            OSError: it cannot be written; nothing is left of it.
        """
        unfinished = f"{name}.{uuid4().hex}{UNFINISHED}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with open(os.open(unfinished, flags, 0o600, dir_fd=self._handle), "wb") as file:
                for part in parts:
                    file.write(part)
            os.rename(unfinished, name, src_dir_fd=self._handle, dst_dir_fd=self._handle)
        except BaseException:
            with suppress(OSError):
                os.unlink(unfinished, dir_fd=self._handle)
            raise

    def remove(self, name: str) -> bool:
        """Remove a file, also one that `remove_unless_renewed` has put aside; return whether there was any.

        Raises:
            OSError: it cannot be removed.
        """
        was_there = self.unlink(name)
        aside = [each for each in os.listdir(self._handle) if each.startswith(name) and each.endswith(_ASIDE)]
        for each in (
            *aside,
            name,
        ):  # the name once more: what was put aside may have come back before it was found there
            was_there |= self.unlink(each)
        return was_there

    def remove_unless_renewed(self, entry: Entry) -> bool:
        """Remove a file that is as old as it was, and leave one that was uploaded again since; return which.

        Nothing removes a file by its age, so it is put aside, looked at, and put back if it is another by now.

        Raises:
            OSError: it cannot be removed.
        """
        aside = f"{entry.name}.{uuid4().hex}{_ASIDE}"
        try:
            os.rename(entry.name, aside, src_dir_fd=self._handle, dst_dir_fd=self._handle)
            renewed = os.stat(aside, dir_fd=self._handle, follow_symlinks=False).st_mtime_ns != entry.written_ns
            if renewed:
                os.rename(aside, entry.name, src_dir_fd=self._handle, dst_dir_fd=self._handle)
        except FileNotFoundError:  # another server was faster, or somebody has deleted it
            return False
        return not renewed and self.unlink(aside)

    def entries(self) -> Iterator[Entry]:
        """List what is in the directory; what goes meanwhile may be left out."""
        with os.scandir(self._handle) as found:
            for each in found:
                with suppress(FileNotFoundError):
                    yield entry_of(each.name, each.stat(follow_symlinks=False))

    def unlink(self, name: str) -> bool:
        """Remove what has a name now; return whether there was anything.

        Raises:
            OSError: it cannot be removed.
        """
        try:
            os.unlink(name, dir_fd=self._handle)
        except FileNotFoundError:
            return False
        return True


def write_into(folder: Path, directory: str, name: str, *parts: bytes) -> None:
    """Write a file into an owner's directory, which is made if it is not there.

    Raises:
        OSError: the folder is not there, or the file cannot be written.
    """
    for attempt in range(_ATTEMPTS):
        with root_opened(folder) as root, suppress(FileExistsError):
            os.mkdir(directory, 0o700, dir_fd=root)
        try:
            with OwnerDirectory.opened(folder, directory) as owned:
                if owned is not None:
                    owned.write(name, *parts)
                    return
        except FileNotFoundError:
            if attempt == _ATTEMPTS - 1:
                raise
    raise FileNotFoundError(f"{directory} does not stay")


def is_leftover(name: str) -> bool:
    """Say whether a name is of a file that was being written or removed."""
    return name.endswith((UNFINISHED, _ASIDE))
