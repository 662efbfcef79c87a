"""Images for a command: files and URLs as they are named, and folders searched for more.

Knows endings of names, not contents, and fetches nothing. Any thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from model.image_names import IMAGE_SUFFIXES as SUFFIXES
from service.batch.result_file import shown
from service.batch.task import ImagePlace
from service.errors import FetchFailed
from service.fetching.urls import ImageLink, looks_like_link, parse_link


class NothingToDo(ValueError):
    """A path does not exist, no image was found, or a URL is none; the message names the path."""


def find_images(places: Iterable[Path | str]) -> tuple[ImagePlace, ...]:
    """List the files and URLs named, and the images in the folders named, each once.

    A file that is named is taken whatever it is called. Folders are walked in alphabetical order; links to folders
    are not followed, and hidden files and folders are passed over: macOS leaves a `._a.jpg` beside each `a.jpg`.

    Raises:
        NothingToDo: a path is not there, a folder has no image in it, or a URL is none.
    """
    found: dict[ImagePlace, None] = {}
    for place in places:
        path = Path(place)
        if isinstance(place, str) and looks_like_link(place):
            found[_link(place)] = None
        elif path.is_dir():
            inside = list(_walk(path))
            if not inside:
                raise NothingToDo(f"{shown(path)}: there is no image in this folder ({', '.join(sorted(SUFFIXES))})")
            found |= dict.fromkeys(inside)
        elif path.exists():
            found[path] = None
        else:
            raise NothingToDo(f"{shown(path)}: there is no such file or folder")
    return tuple(found)


def _link(url: str) -> ImageLink:
    try:
        return parse_link(url)
    except FetchFailed as error:  # its detail begins with a field's name, which nobody typed
        raise NothingToDo(f"a URL: {error.detail.removeprefix('image_url: ')}") from None


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        yield from (Path(parent, name) for name in sorted(names) if _is_image(name))


def _is_image(name: str) -> bool:
    return not _is_hidden(name) and Path(name).suffix.lower() in SUFFIXES


def _is_hidden(name: str) -> bool:
    return name.startswith(".")
