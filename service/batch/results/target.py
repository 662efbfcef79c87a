"""Output targets, as named after --jsonl: standard output, a pipe, a JSON Lines or a Parquet file; opened, or refused.

Owns the words for names that cannot be used, which are told before a model is loaded. One thread.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from model.whole_files import is_stream
from service.batch.results.appended import AppendedFile, ResultsError, json_lines
from service.batch.results.jsonl import ResultFile
from service.batch.results.parquet import ParquetResults
from service.batch.results.records import Record
from service.batch.results.text import write_lines

STANDARD_OUTPUT = Path("-")
PARQUET = ".parquet"
_WRITE_LATER = os.W_OK | os.X_OK


class StreamedLines:
    """JSON Lines into a stream, where nothing can be read again; closing leaves the stream to whoever opened it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self) -> list[Record]:
        """Return no record: a stream is not read again."""
        return []

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Write records, a line each, at once.

        Raises:
            BrokenPipeError: whoever reads has gone.
        """
        write_lines(self._stream, json_lines(records))

    def check(self) -> None:
        """Check nothing: what was written is gone."""

    def close(self) -> None:
        """Close nothing: the stream is its owner's."""


def can_continue(target: Path | None) -> bool:
    """Say whether a run that is interrupted can go on: into a file, not through a pipe."""
    return target is not None and target != STANDARD_OUTPUT and not _is_stream(target)


@contextmanager
def open_target(target: Path) -> Iterator[BinaryIO | ResultFile | ParquetResults]:
    """Open what --jsonl names, and read what is in it from an earlier run.

    Raises:
        ResultsError: nothing can be written there, or something else is in it; the message says what to do.
    """
    if target == STANDARD_OUTPUT:
        yield sys.stdout.buffer
        return
    with refusing(target):
        check_place(target)
        opened: BinaryIO | ResultFile | ParquetResults
        if _is_stream(target):
            opened = target.open("wb", buffering=0)
        else:
            opened = ParquetResults(target) if target.suffix.lower() == PARQUET else ResultFile(target)
    with opened:
        yield opened


@contextmanager
def refusing(target: Path) -> Iterator[None]:
    """Tell in words why the system does not open a file.

    Raises:
        ResultsError: instead of what the system raised.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        place = f" ({error.filename})" if error.filename not in (None, str(target), target) else ""
        raise ResultsError(f"{target}: cannot be written{place}: {error.strerror or error}") from None


def check_place(target: Path) -> None:
    """Check that a file can appear at a path, without making it.

    Raises:
        ResultsError: it cannot; the message says what to do.
        OSError: there can be no such file.
    """
    if target.is_dir():
        raise ResultsError(f"{target}: this is a folder; name a file in it")
    folder = target.parent
    if not folder.exists():
        raise ResultsError(f"{target}: there is no folder {folder}; make it first")
    if not folder.is_dir():
        raise ResultsError(f"{target}: {folder} is a file, not a folder; name another place")
    if not target.exists() and not os.access(folder, _WRITE_LATER):
        raise ResultsError(f"{target}: cannot be written: the folder {folder} does not let you")


def check_writable(target: Path) -> None:
    """Check that a file at a path can be written; one that is new is not left behind.

    Raises:
        ResultsError: it cannot; the message says what to do.
    """
    if target != STANDARD_OUTPUT:
        with refusing(target):
            check_place(target)
            if not _is_stream(target):
                AppendedFile(target).close()


def _is_stream(target: Path) -> bool:
    try:
        return is_stream(target)
    except OSError:  # a name that is too long
        return False
