"""Streaming reader of large JSON files: the objects of a list, one at a time, in little memory.

Errors name the file and the place, as those of `model.data.fields` do. Knows no data set. Any thread or process.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import ijson

from model.data.fields import DataError, Record, read_lines

_BUFFER_BYTES = 1 << 18
_PEEK_BYTES = 4096
MOST_DEPTH = 100  # of lists and objects in each other; data sets have ten at most
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_NO_BRACKET = bytes(byte for byte in range(256) if byte not in b'[]{}"')


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
            file,
            ijson.items(_BoundedJson(stream), f"{key}.item" if key else "item", buf_size=_BUFFER_BYTES, use_float=True),
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
        for key, value in _told(file, ijson.kvitems(_BoundedJson(stream), "", buf_size=_BUFFER_BYTES, use_float=True)):
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
        found = next(_told(file, ijson.items(_BoundedJson(stream), key, buf_size=_BUFFER_BYTES)), None)
    if not isinstance(found, str):
        raise DataError(f"{file}: {key}: {'missing' if found is None else 'expected text'}")
    return found


class _BoundedJson:
    """JSON file that is not read beyond a list or object too deep in others.

    The parser's name of a place grows with its depth, so that without a bound a small file would take all memory. Its
    events cost a line of Python each; brackets are counted by chunk, which is much faster.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._open, self._in_string, self._escaping = b"", False, b""

    def read(self, size: int) -> bytes:
        """Return the next bytes.

        Raises:
            JSONError: there are more than about `MOST_DEPTH` lists and objects in each other.
        """
        data = self._stream.read(size)
        left, rounds = self._open + self._brackets(data), 0
        while len(shorter := left.replace(b"[]", b"").replace(b"{}", b"")) < len(left):
            left, rounds = shorter, rounds + 1
            if rounds > MOST_DEPTH:
                break
        if rounds > MOST_DEPTH or len(left) > MOST_DEPTH:
            raise ijson.JSONError(f"lists and objects more than {MOST_DEPTH} deep in each other")
        self._open = left
        return data

    def _brackets(self, data: bytes) -> bytes:
        """Return the brackets of a chunk that are in no string."""
        text = _ESCAPE.sub(b"", self._escaping + data)
        self._escaping = b"\\" if text.endswith(b"\\") else b""
        parts = text.translate(None, _NO_BRACKET).split(b'"')
        found = b"".join(parts[1 if self._in_string else 0 :: 2])
        self._in_string ^= len(parts) % 2 == 0
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
