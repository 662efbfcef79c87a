"""A part of a run on a GPU whose first item takes longer than any test."""

from __future__ import annotations

import time
from collections.abc import Iterator

from model.bench.gpu.item import Data, Item, PartInput


def items(_: PartInput) -> Iterator[Item]:
    yield Item("slow", _slow, limit_s=600.0)
    yield Item("later", dict)


def _slow() -> Data:
    time.sleep(600.0)
    return {}
