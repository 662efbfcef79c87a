"""Streaming reader of large JSON files: the objects of a list, one at a time, in little memory.

Errors name the file and the place, as those of `model.data.fields` do. Knows no data set. Any thread or process.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import ijson

from model.data.fields import DataError, Record, read_lines

_BUFFER_BYTES = 1 << 18
_PEEK_BYTES = 4096


def stream_items(file: Path) -> Iterator[Record]:
    """Return the objects of a JSON list, or of JSON Lines, whichever the file holds.

    Raises:
        DataError: it holds something else, or stops being JSON.
        OSError: it cannot be read.
    """
    with _opened(file) as stream:
        first = stream.read(_PEEK_BYTES).lstrip()[:1]
    if not first:
        raise DataError(f"{file}: there is nothing in it")
    return stream_list(file) if first == b"[" else read_lines(file)


def stream_list(file: Path, key: str | None = None) -> Iterator[Record]:
    """Return the objects of the list that a JSON file is, or that it has under a key.

    Raises:
        DataError: there is no such list, something in it is no object, or the file stops being JSON.
        OSError: it cannot be read.
    """
    name, count = key or "", 0
    with _opened(file) as stream:
        items = _told(
            file, ijson.items(stream, f"{key}.item" if key else "item", buf_size=_BUFFER_BYTES, use_float=True)
        )
        for index, value in enumerate(items):
            count += 1
            yield _record(f"{file}: {name}[{index}]", value)
    if not count:
        raise DataError(f"{file}: {f'{key}: ' if key else ''}expected a list, with something in it")


def stream_members(file: Path) -> Iterator[tuple[str, Record]]:
    """Return the members of a JSON file's one object: key and value, each value an object.

    Raises:
        DataError: it is no such object, there is nothing in it, or the file stops being JSON.
        OSError: it cannot be read.
    """
    count = 0
    with _opened(file) as stream:
        for key, value in _told(file, ijson.kvitems(stream, "", buf_size=_BUFFER_BYTES, use_float=True)):
            count += 1
            yield key, _record(f"{file}: {key}", value)
    if not count:
        raise DataError(f"{file}: expected an object of objects by their names, with something in it")


def stream_text(file: Path, key: str) -> str:
    """Return the text that a JSON file's one object has under a key, read no further than that.

    Raises:
        DataError: there is none.
        OSError: it cannot be read.
    """
    with _opened(file) as stream:
        found = next(_told(file, ijson.items(stream, key, buf_size=_BUFFER_BYTES)), None)
    if not isinstance(found, str):
        raise DataError(f"{file}: {key}: {'missing' if found is None else 'expected text'}")
    return found


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    """Open a file behind its byte order mark, which some editors write."""
    with file.open("rb") as stream:
        if stream.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
            stream.seek(0)
        yield stream


def _told(file: Path, found: Iterator[Any]) -> Iterator[Any]:
    """Pass on what is found; what is wrong with the file becomes a `DataError`."""
    count = 0
    try:
        for each in found:
            count += 1
            yield each
    except (ijson.JSONError, UnicodeDecodeError) as error:
        text = error.args[0] if error.args else ""
        said = text.decode("utf-8", errors="replace") if isinstance(text, bytes) else str(error)
        raise DataError(f"{file}: not JSON, behind {count} entries: {said.strip().splitlines()[0]}") from None


def _record(where: str, value: Any) -> Record:
    if not isinstance(value, dict):
        raise DataError(f"{where}: expected an object")
    return Record(where, value)
