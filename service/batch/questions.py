"""Question files: text files with one question a line. Owns its format; knows neither images nor models. Any thread."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from model.bounded_files import read_at_most, take_at_most
from service.schemas.requests import MAX_TEXT_CHARS

STDIN = "-"
COMMENT = "#"
MOST_MIB = 64  # of a file


class QuestionsError(ValueError):
    """A file of questions cannot be used; the message names it and the line."""


def read_questions(file: str) -> list[str]:
    """Read the questions in a UTF-8 text file, or in standard input for `-`.

    Blank lines and lines that start with # are skipped, white space around a question is dropped.

    Raises:
        QuestionsError: it cannot be read, a line is not UTF-8 or too long, or there is no question at all.
    """
    name = "standard input" if file == STDIN else file
    try:
        most_bytes = MOST_MIB << 20
        data = take_at_most(sys.stdin.buffer, most_bytes) if file == STDIN else read_at_most(Path(file), most_bytes)
    except OSError as error:
        raise QuestionsError(f"{name}: cannot be read: {error.strerror}") from None
    if len(data) > most_bytes:
        raise QuestionsError(f"{name}: there is more than {MOST_MIB} MiB in it; this is no list of questions")
    found = list(_questions(name, data))
    if not found:
        raise QuestionsError(f"{name}: there is no question in it; write one a line")
    return found


def _questions(name: str, data: bytes) -> Iterator[str]:
    for number, line in enumerate(data.split(b"\n"), start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError:
            raise QuestionsError(f"{name}: line {number} is not UTF-8 text") from None
        if not text or text.startswith(COMMENT):
            continue
        if len(text) > MAX_TEXT_CHARS:
            raise QuestionsError(f"{name}: line {number} has {len(text)} characters; at most {MAX_TEXT_CHARS} are read")
        yield text
