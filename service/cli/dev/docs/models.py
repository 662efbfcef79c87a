"""The table of the models that have names, for the documentation: what each takes, whatever machine it runs on.

Owns the table; the figures are `service.machine.models`'. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from model import complexity
from service.cli.dev.docs.markdown import code, table
from service.machine.models import named_models, needs

_DTYPES = ("bfloat16", "float32")


def models(_: Sequence[str] = ()) -> str:
    """Write the table, a row for each model."""
    rows = []
    for name, config in named_models():
        takes = {dtype: needs(name, config, dtype) for dtype in _DTYPES}
        first = takes[_DTYPES[0]]
        memory = (f"{each.memory_mb / 1e3:.2g} GB, {each.most_mb / 1e3:.2g} GB" for each in takes.values())
        flops = complexity.encode_flops(config) / 1e9
        rows.append(
            (code(name), f"{first.parameters / 1e6:,.0f} M", _size(first.disk_bytes), *memory, f"{flops:,.0f} G")
        )
    return table(("Model", "Parameters", "Disk", *(f"Memory, {dtype}" for dtype in _DTYPES), "FLOPs of an image"), rows)


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
