"""Items, the smallest checks and timings of a run on a GPU, and their input.

An item is told apart by its name, runs alone, and returns plain data. Who runs it, for how long it may, and what
happens when it fails or hangs is decided elsewhere. Knows no torch. Any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Data = Mapping[str, Any]


class NotAvailable(Exception):
    """Raised by an item whose subject does not exist in this build or on this machine; the message says what."""


@dataclass(frozen=True, slots=True)
class Item:
    """Smallest check or measurement of a run.

    Attributes:
        name: unique within its part.
        run: does it; what it returns can be written as JSON.
        limit_s: after which it counts as hanging.
    """

    name: str
    run: Callable[[], Data]
    limit_s: float = 60.0


@dataclass(frozen=True, slots=True)
class PartInput:
    """Input of a part of the run.

    Attributes:
        device: `cpu` or `cuda`.
        models: whose speed is measured: `random:NAME`, the first of them served.
        golden: folders with golden cases of the original model.
        rates: best rates measured before, by number format: bytes_per_s and flops_per_s; may be empty.
        seconds: that the part may take.
        url: of a running service, for parts that need one.
        pid: its process.
    """

    device: str = "cuda"
    models: tuple[str, ...] = ()
    golden: tuple[str, ...] = ()
    rates: Mapping[str, Mapping[str, float]] | None = None
    seconds: float = 60.0
    url: str = ""
    pid: int = 0
