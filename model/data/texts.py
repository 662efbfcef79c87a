"""Text files as people have them: UTF-8 with or without a mark, UTF-16 as spreadsheets export it, or Windows-1252.

Knows nothing of what is in them. Any thread or process.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

UTF8 = "utf-8-sig"
_CHUNK_BYTES = 1 << 20
_MARKS = ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_GUESSES = (UTF8, "cp1252", "latin-1")  # the last one has a letter for every byte


def encoding_of(file: Path) -> str:
    """Return the name of a text file's encoding: by its mark, or the first of those that can be that reads all of it.

    Raises:
        OSError: it cannot be read.
    """
    with file.open("rb") as stream:
        start = stream.read(2)
    marked = next((name for mark, name in _MARKS if start == mark), None)
    return marked or next(name for name in _GUESSES if _reads(file, name))


def guessed(file: Path, encoding: str) -> str:
    """Return words for an encoding that was guessed, or nothing for one that is certain."""
    if encoding in (UTF8, "utf-16"):
        return ""
    return f"{file}: not UTF-8; read as {encoding}. Save it as UTF-8 if letters look wrong"


def lines_of_text(file: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Return the lines that are not blank, with their numbers, whatever ends them.

    Raises:
        OSError, UnicodeError: it cannot be read.
    """
    with file.open(encoding=encoding) as stream:  # universal line ends; U+2028 and the like end none
        for number, line in enumerate(stream, start=1):
            if line.strip():
                yield number, line.rstrip("\n")


def _reads(file: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True
