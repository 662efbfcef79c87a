"""Images for a command: files, URLs and standard input as they are named, and folders searched for more.

Knows endings of names, not contents, and fetches nothing. Any thread, but for standard input.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from model.bounded_files import MOST_BYTES, take_at_most
from model.pixels.image_names import IMAGE_SUFFIXES as SUFFIXES
from service.batch.results.records import shown
from service.batch.shard import Shard
from service.batch.task import ImagePlace, StandardInput
from service.errors import FetchFailed
from service.fetching.urls import ImageLink, looks_like_link, parse_link

STDIN = "-"


class NothingToDo(ValueError):
    """A path does not exist, no image was found, or a URL is none; the message names the path."""


def find_images(places: Iterable[Path | str], shard: Shard | None = None) -> tuple[ImagePlace, ...]:
    """List the files and URLs named, and the images in the folders named, each once.

    A file that is named is taken whatever it is called. Folders are walked in alphabetical order; links to folders
    are not followed, and hidden files and folders are passed over: macOS leaves a `._a.jpg` beside each `a.jpg`.
    Pipes and devices in them are passed over too. A folder inside that cannot be listed stands for its images: reading
    it fails like that of an image. `-` is an image in standard input, which is read here.

    Args:
        places: what was typed.
        shard: the part of them to list; decided by an image's path below the folder that was typed, which is the same
            on machines that have the folder elsewhere, and for the others by what was typed.

    Raises:
        NothingToDo: a path is not there, a folder has no image in it, a URL is none, or standard input is empty.
    """
    found: dict[ImagePlace, str] = {}
    for place in places:
        for image, name in _at(place):
            found.setdefault(image, name)
    return tuple(image for image, name in found.items() if shard is None or shard.has(name))


def _at(place: Path | str) -> Iterator[tuple[ImagePlace, str]]:
    """Yield the images at a place, each with the name that decides its shard."""
    if place == "":  # as a shell makes of a variable that is not set; as a path it would be the whole folder one is in
        raise NothingToDo("IMAGE: an empty name; name a file, a folder or a URL, or . for this folder")
    if place == STDIN:
        yield _standard_input(), STDIN
    elif isinstance(place, str) and looks_like_link(place):
        yield _link(place), place.strip()
    else:
        yield from _files(Path(place))


def _files(path: Path) -> Iterator[tuple[Path, str]]:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise NothingToDo(f"{shown(path)}: there is no such file or folder") from None
    except OSError as error:
        raise NothingToDo(f"{shown(path)}: {error.strerror}") from None
    if not stat.S_ISDIR(mode):
        yield path, path.as_posix()
        return
    inside = list(_walk(path))
    if not inside:
        raise NothingToDo(f"{shown(path)}: there is no image in this folder ({', '.join(sorted(SUFFIXES))})")
    yield from ((image, image.relative_to(path).as_posix()) for image in inside)


def _standard_input() -> StandardInput:
    """Read the image in standard input, before anything that takes long."""
    if sys.stdin is None or sys.stdin.isatty():
        raise NothingToDo("-: standard input is a terminal; pipe an image into the command, or redirect a file to it")
    content = take_at_most(sys.stdin.buffer)
    if not content:
        raise NothingToDo("-: standard input is empty; an image was expected there")
    if len(content) > MOST_BYTES:
        raise NothingToDo("-: there is more than 1 GiB in standard input; this is no image")
    return StandardInput(content)


def _link(url: str) -> ImageLink:
    try:
        return parse_link(url)
    except FetchFailed as error:  # its detail begins with a field's name, which nobody typed
        raise NothingToDo(f"a URL: {error.detail.removeprefix('image_url: ')}") from None


def _walk(folder: Path) -> Iterator[Path]:
    closed: list[Path] = []  # folders that cannot be listed

    def note(error: OSError) -> None:
        if error.filename == str(folder):
            raise NothingToDo(f"{shown(folder)}: cannot be read: {error.strerror}")
        closed.append(Path(error.filename))

    for parent, folders, names in os.walk(folder, onerror=note):
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        yield from (path for name in sorted(names) if _is_image(name) and _ends(path := Path(parent, name)))
    yield from closed


def _ends(path: Path) -> bool:
    """Say whether reading a file comes to an end: not that of a pipe without a writer, nor that of `/dev/zero`."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:  # told when it is read
        return True


def _is_image(name: str) -> bool:
    return not _is_hidden(name) and Path(name).suffix.lower() in SUFFIXES


def _is_hidden(name: str) -> bool:
    return name.startswith(".")
