"""Parts of a run on a GPU that misbehave in every way an item can."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

from model.bench.gpu.item import Data, Item, NotAvailable, PartInput


def items(given: PartInput) -> Iterator[Item]:
    yield Item("good", lambda: {"device": given.device})
    yield Item("missing", _missing)
    yield Item("wrong", lambda: {"verdict": "failed", "found": 2.0, "bound": 1.0})
    yield Item("raises", lambda: {}["nothing"])
    yield Item("dies", lambda: os.kill(os.getpid(), signal.SIGKILL))  # type: ignore[arg-type, return-value]
    yield Item("hangs", _hang, limit_s=0.5)
    yield Item("good after all", lambda: {"seconds": given.seconds})


def _missing() -> Data:
    raise NotAvailable("there is no such thing")


def _hang() -> Data:
    time.sleep(60)
    return {}
