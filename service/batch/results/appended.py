"""Files that JSON lines are appended to, by one run at a time.

Owns the lock, the reading of a file from an earlier run, and the repair of one whose writer was killed. Knows no
engine. One thread; several processes that open one file are kept apart.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from io import BufferedWriter
from pathlib import Path
from typing import Any

from model.whole_files import naming, path_appearing_whole
from service.batch.results.records import Record, is_record

_START = b'{"image":'  # of every line of a file of results
_HELD = (errno.EWOULDBLOCK, errno.EACCES)
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)  # some network file systems
_TRIES = 100


class ResultsError(ValueError):
    """A result file cannot be used; the message names it, and the line if it is one's fault."""


class AppendedFile:
    """A file that lines are appended to; created if it is not there, and removed again if it was and stays empty.

    It is locked until it is closed. Where the file system has no locks, `check` finds what another run wrote.

    Raises:
        ResultsError: another run has it.
        OSError: it cannot be opened for writing.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._new = path, not path.exists()
        self._file = _locked(path)
        self._size = os.fstat(self._file.fileno()).st_size
        self._lines = 0

    def read(self) -> list[Record]:
        """Read the records that are in the file, as `read_records`, which `check` expects from then on."""
        records = read_records(self._path)
        self._size, self._lines = os.fstat(self._file.fileno()).st_size, len(records)
        return records

    def fill(self, records: list[Record]) -> list[Record]:
        """Put records into the file, which is empty: all of them or none, however the process ends.

        Raises:
            OSError: they cannot be written.
        """
        if records:
            with path_appearing_whole(self._path) as partial:
                partial.unlink(missing_ok=True)
                filled = _locked(partial)  # before it has the name under which others look for it
                filled.write(json_lines(records))
                filled.flush()
            self._file.close()
            self._file = filled
            self._size, self._lines = os.fstat(filled.fileno()).st_size, len(records)
        return records

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Write records, a line each, and hand them to the operating system.

        Raises:
            OSError: they cannot be written; what was cut short is taken out when the file is read again.
        """
        lines = json_lines(records)
        try:
            with naming(self._path):
                self._file.write(lines)
                self._file.flush()
        except OSError:
            self._file.raw.close()  # or closing the file would try once more
            raise
        self._size += len(lines)
        self._lines += lines.count(b"\n")

    def check(self) -> None:
        """Check that the file has what was read from it and appended to it, and nothing else.

        Raises:
            ResultsError: it has not, so that answers may be lost.
        """
        self._expect("bytes", self._path.stat().st_size if self._path.exists() else 0, self._size)

    def read_back(self) -> list[Record]:
        """Read the records that were read before and appended since.

        Raises:
            ResultsError: others are there.
            OSError: it cannot be read.
        """
        self.check()
        records = read_records(self._path)
        self._expect("records", len(records), self._lines)
        return records

    def _expect(self, things: str, found: int, expected: int) -> None:
        if found != expected:
            raise ResultsError(
                f"{self._path}: there are {found} {things} in it instead of {expected}: someone else removed it or "
                "wrote to it during this run; run again to answer what is missing"
            )

    def close(self) -> None:
        """Close the file, after which another run may have it."""
        if self._new and not self._file.closed and not self._file.raw.closed and self._is_empty():
            os.unlink(os.path.realpath(self._path))  # a link stays; while it is locked, or it may be another run's
        self._file.close()

    def _is_empty(self) -> bool:
        return not os.fstat(self._file.fileno()).st_size and _is_at(self._file, self._path)


def _locked(path: Path) -> BufferedWriter:
    """Open a file that no other run has, whose last run may be removing it at this moment."""
    for _ in range(_TRIES):
        file = path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return file
            file.close()
            if error.errno not in _HELD:
                raise
            break
        if _is_at(file, path):
            return file
        file.close()
    raise ResultsError(f"{path}: another run is writing to this file; wait for its end, or choose another with --jsonl")


def _is_at(file: BufferedWriter, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def json_lines(records: Iterable[Mapping[str, Any]]) -> bytes:
    """Write records as JSON Lines."""
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def read_records(path: Path) -> list[Record]:
    """Read the records of a result file, without a last line that was cut short; none if there is no file.

    A last line that lacks its line end alone gets it: the file may be another's, of which nothing must be lost.

    Raises:
        ResultsError: some line is not a result.
        OSError: it cannot be read or written.
    """
    if not path.exists():
        return []
    data = path.read_bytes()
    *whole, torn = data.split(b"\n")
    if torn and not (torn.startswith(_START) or _START.startswith(torn)):
        raise ResultsError(f"{path}: this is not a file of results; choose another one")
    complete = _is_json(torn)
    lines = [*whole, torn] if complete else whole
    records = [_record(path, number, line) for number, line in enumerate(lines, start=1)]
    if complete:
        with path.open("ab") as file:
            file.write(b"\n")
    elif torn:
        with path.open("r+b") as file:
            file.truncate(len(data) - len(torn))
    return records


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _record(path: Path, number: int, line: bytes) -> Record:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    if not is_record(record):
        raise no_result(path, number)
    return record


def no_result(path: Path, number: int) -> ResultsError:
    """Return the error about a line."""
    return ResultsError(
        f"{path}: line {number} is not a result of this command; choose another file or take the line out"
    )
