"""The journal of a GPU run: how each item began and ended, a line each, written as it happens.

Written by the processes of the parts and read by the one that watches them; a process that is killed loses no more than
the item it was at. Knows no item. Any thread or process, one writer at a time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

State = Literal["done", "not available", "failed", "crashed", "timed out", "not reached"]


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """The outcome of an item.

    Attributes:
        part, item: which.
        state: `failed` raised an error, `crashed` ended its process, `timed out` was ended.
        data: what a done item returned.
        why: of the others, in words.
        took_s: from its beginning to its end.
    """

    part: str
    item: str
    state: State
    data: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""
    took_s: float = 0.0


class ItemJournal:
    """A journal file with one JSON line for each event.

    Args:
        path: the file; it need not exist.
        part: whose lines are written and read.
    """

    def __init__(self, path: Path, part: str) -> None:
        self._path = path
        self._part = part
        self._read = path.stat().st_size if path.exists() else 0

    def plan(self, names: Sequence[str]) -> None:
        """Write down which items there will be."""
        self._write({"plan": list(names)})

    def begin(self, item: str, limit_s: float) -> None:
        """Write down that an item begins, and how long it may take."""
        self._write({"began": item, "limit_s": limit_s})

    def end(self, item: str, state: State, data: Mapping[str, Any], why: str, took_s: float) -> None:
        """Write down the outcome of an item."""
        self._write({"ended": item, "state": state, "data": data, "why": why, "took_s": took_s})

    def _write(self, line: Mapping[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"part": self._part, **line}, default=str) + "\n")

    def news(self) -> list[dict[str, Any]]:
        """Read the whole lines of the part that were written since the last call."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        lines = (json.loads(line) for line in whole.splitlines())
        return [line for line in lines if line["part"] == self._part]
