"""Strict reading of JSON: every error names the file, the place in it and what was expected there.

Knows no data set. Pure but for reading files; any thread or process.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class DataError(ValueError):
    """Malformed file of a data set; the message names the file and the place."""


@dataclass(frozen=True, slots=True)
class Record:
    """JSON object and where it stands.

    Every method raises DataError where its key is missing or of another type.
    """

    where: str
    values: Mapping[str, Any]

    def has(self, key: str) -> bool:
        """Return whether there is such a key with anything in it."""
        return self.values.get(key) is not None

    def text(self, key: str) -> str:
        """Return text that is not blank."""
        value = self._get(key)
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{self.where}: {key}: expected text")
        return value

    def words(self, key: str) -> str:
        """Return text that may be blank."""
        value = self._get(key)
        if not isinstance(value, str):
            raise DataError(f"{self.where}: {key}: expected text")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts, at least one, some of which may be blank."""
        value = self._get(key)
        if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
            raise DataError(f"{self.where}: {key}: expected a list of texts")
        return tuple(value)

    def number(self, key: str) -> float:
        """Return a finite number."""
        value = self._get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
            raise DataError(f"{self.where}: {key}: expected a number")
        return float(value)

    def whole(self, key: str) -> int:
        """Return a whole number."""
        value = self._get(key)
        if isinstance(value, bool) or not isinstance(value, int):
            raise DataError(f"{self.where}: {key}: expected a whole number")
        return value

    def flag(self, key: str) -> bool:
        """Return true or false."""
        value = self._get(key)
        if not isinstance(value, bool):
            raise DataError(f"{self.where}: {key}: expected true or false")
        return value

    def name(self, key: str) -> str:
        """Return text or a whole number, as text."""
        return str(self.whole(key)) if isinstance(self._get(key), int) else self.text(key)

    def record(self, key: str) -> Record:
        """Return the object under a key as a record of its own."""
        value = self._get(key)
        if not isinstance(value, dict):
            raise DataError(f"{self.where}: {key}: expected an object")
        return Record(f"{self.where}: {key}", value)

    def records(self, key: str) -> Iterator[Record]:
        """Return the objects of a list."""
        value = self._get(key)
        if not isinstance(value, list):
            raise DataError(f"{self.where}: {key}: expected a list")
        for index, each in enumerate(value):
            place = f"{self.where}: {key}[{index}]"
            if not isinstance(each, dict):
                raise DataError(f"{place}: expected an object")
            yield Record(place, each)

    def _get(self, key: str) -> Any:
        if key not in self.values:
            raise DataError(f"{self.where}: {key}: missing")
        return self.values[key]


def read_object(file: Path) -> Record:
    """Read the one object that a JSON file holds.

    Raises:
        DataError: it holds something else.
        OSError: it cannot be read.
    """
    return Record(str(file), _parsed(file.read_bytes(), str(file)))


def read_lines(file: Path) -> Iterator[Record]:
    """Read the objects of a JSON Lines file; blank lines are skipped.

    Raises:
        DataError: a line is something else.
        OSError: it cannot be read.
    """
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                where = f"{file}: line {number}"
                yield Record(where, _parsed(line, where))


def _parsed(data: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError as error:  # a broken encoding is one too
        raise DataError(f"{where}: not JSON: {error}") from None
    except RecursionError:
        raise DataError(f"{where}: lists and objects too deep in each other") from None
    if not isinstance(value, dict):
        raise DataError(f"{where}: expected a JSON object")
    return value
