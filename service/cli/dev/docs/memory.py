"""The worked sum of a server's memory for the documentation: every bound at once, for some models on a CPU.

Owns the table; the parts are `service.machine.memory`'s. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from service.cli.dev.docs.markdown import table
from service.cli.info.figures import find_config
from service.machine.memory import parts

MODELS = (("pheye-tiny", "float32"), ("Pheye-x4-448", "bfloat16"), ("Pheye-x4-672", "bfloat16"))


def memory(_: Sequence[str] = ()) -> str:
    """Write the table of all parts and their sum, a column for each model."""
    columns = [list(parts(find_config(name, None), dtype)) for name, dtype in MODELS]
    rows = [
        (same[0].what, same[0].formula, *(f"{part.size_mb:,.0f} MB" for part in same))
        for same in zip(*columns, strict=True)
    ]
    sums = [sum(part.size_mb for part in column) for column in columns]
    last = ("**all at once**", "", *(f"**{size_mb:,.0f} MB**" for size_mb in sums))
    return table(("Memory", "Bound", *(f"{name}, {dtype}" for name, dtype in MODELS)), [*rows, last])
