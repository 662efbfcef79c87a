"""Files and folders that appear whole or not at all, however the process or the disk ends.

Each is written beside its place under another name, brought to the disk and renamed. What goes wrong is an `OSError`
that names the place. Any thread or process; two that write the same place at once are not kept apart.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

PARTIAL = ".partial-"  # what a name begins with until it is whole


@contextmanager
def appearing_whole(target: Path, *, replacing: bool = False) -> Iterator[Path]:
    """Give a new folder to fill, which becomes `target` at the end; on a failure nothing is left of it.

    Args:
        target: the folder; must not exist, or be empty.
        replacing: it may exist, and its content goes at the end.

    Raises:
        OSError: it cannot be written; a library's own words for that, such as safetensors', become one.
    """
    partial, old = target.with_name(PARTIAL + target.name), target.with_name(f"{PARTIAL}old-{target.name}")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        for path in [*partial.rglob("*"), partial]:
            bring_to_disk(path)
        if replacing and target.exists():
            shutil.rmtree(old, ignore_errors=True)
            target.rename(old)
        partial.rename(target)
        bring_to_disk(target.parent)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException as error:
        if replacing and old.exists() and not target.exists():
            old.rename(target)
        shutil.rmtree(partial, ignore_errors=True)
        raise _named(error, target) from error


@contextmanager
def file_appearing_whole(target: Path) -> Iterator[IO[str]]:
    """Give a new text file to write, which becomes `target` at the end, or replaces it.

    A pipe or a device, such as /dev/stdout, is written into: renaming a file to it would take its place.

    Raises:
        OSError: it cannot be written; what was there before is there still.
    """
    if is_stream(target):
        with naming(target), target.open("w", encoding="utf-8") as stream:
            yield stream
        return
    with path_appearing_whole(target) as partial, partial.open("w", encoding="utf-8") as file:
        yield file


@contextmanager
def path_appearing_whole(target: Path) -> Iterator[Path]:
    """Give the path of a file to write, which becomes `target` at the end, or replaces it.

    Raises:
        OSError: it cannot be written; what was there before is there still.
    """
    place = Path(os.path.realpath(target))  # a link stays one
    partial = place.with_name(PARTIAL + place.name)
    try:
        yield partial
        bring_to_disk(partial)
        partial.replace(place)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        raise _named(error, target) from error


def is_stream(target: Path) -> bool:
    """Say whether there is something at a path that is written into, not replaced: a pipe or a device."""
    return target.exists() and not target.is_file() and not target.is_dir()


def write_whole(target: Path, text: str) -> None:
    """Write a text file that replaces the one before, or leaves it as it was.

    Raises:
        OSError: it cannot be written.
    """
    with file_appearing_whole(target) as file:
        file.write(text)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file in what the system says of a failed write, which names none.

    Raises:
        OSError: what was raised inside, with the path.
    """
    try:
        yield
    except OSError as error:
        raise _named(error, path) from None


def bring_to_disk(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, would survive a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _named(error: BaseException, target: Path) -> BaseException:
    """Name the place in what the system said, which names none when a disk is full."""
    if isinstance(error, OSError) and error.errno is not None:
        return OSError(error.errno, error.strerror, str(target))
    if isinstance(error, (ValueError, RecursionError, MemoryError)) or not isinstance(error, Exception):
        return error
    system = _behind(error)
    if system is not None:
        return OSError(system.errno, system.strerror, str(target))
    # Libraries that write by themselves: safetensors tells the system's number in its words.
    found = re.search(r"\(os error (\d+)\)", str(error))
    number = int(found[1]) if found else errno.EIO
    return OSError(number, os.strerror(number) if found else str(error), str(target))


def _behind(error: BaseException) -> OSError | None:
    """Return what the system said before a library, such as torch, said it in its own words."""
    before: BaseException | None = error
    while before is not None:
        if isinstance(before, OSError) and before.errno is not None:
            return before
        before = before.__cause__ or before.__context__
    return None
