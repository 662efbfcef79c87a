"""One small entry point, compiled in test_background; HAPPENS says what happens meanwhile."""

from __future__ import annotations

import os
import time
from pathlib import Path

from numba.extending import overload

from model.network.compiled.compilation.jit import entry


def factor() -> int:
    return 3


@overload(factor)
def _factor():
    match os.environ.get("HAPPENS", "").split(":"):
        case ["hangs", file]:
            Path(f"{file}.new").write_text(str(os.getpid()))
            Path(f"{file}.new").replace(file)
            time.sleep(3600)
        case ["fails"]:
            raise OSError("something went wrong")
    return lambda: 3


@entry("(int64,)")
def tripled(number):
    return factor() * number
