"""Strict checks of a checkpoint's tensors: their names, shapes, number formats and values.

Values are read from the disk where tensors are mapped from it. May be called from any thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from torch import Tensor

from model.checkpoint.files import shown
from model.checkpoint.sources import CheckpointError
from model.checkpoint.weight_files import is_finite
from model.config import DTYPES
from model.layout import Shapes
from model.machine.cores import usable_cores


def check_shapes(tensors: Mapping[str, Tensor], expected: Shapes) -> None:
    """Check that there are exactly the expected tensors, each of its shape and in a number format that is known.

    Raises:
        CheckpointError: one does not fit; it is named.
    """
    missing, extra = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    for names, what in ((missing, "missing"), (extra, "not part of this configuration")):
        if names:
            others = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
            raise CheckpointError(f"tensor {shown(names[0])} is {what}{others}")
    for name, shape in expected.items():
        if tuple(tensors[name].shape) != shape:
            raise CheckpointError(f"tensor {name} has shape {tuple(tensors[name].shape)}; expected {shape}")
        if str(tensors[name].dtype).removeprefix("torch.") not in DTYPES:
            raise CheckpointError(f"tensor {name} is {tensors[name].dtype}; expected one of {', '.join(DTYPES)}")


def check_values(tensors: Mapping[str, Tensor], names: Sequence[str]) -> None:
    """Check that every value of the tensors of these names is a finite number.

    Raises:
        CheckpointError: one holds a NaN or an infinite value; it is named.
    """
    unusable = _not_finite(tensors, names)
    if unusable is not None:
        raise CheckpointError(f"tensor {unusable} holds a NaN or an infinite value")


def _not_finite(tensors: Mapping[str, Tensor], names: Sequence[str]) -> str | None:
    """Return the first of these tensors that holds a NaN or an infinite value; None if none does.

    All cores look, since a mapped file is brought into memory while it is read: that takes longer than to look.
    """
    cores = usable_cores()

    def found(part: Sequence[str]) -> list[str]:
        return [name for name in part if not is_finite(tensors[name])]

    with ThreadPoolExecutor(cores) as readers:
        parts = readers.map(found, [names[core::cores] for core in range(cores)])
        unusable = {name for part in parts for name in part}
    return next((name for name in names if name in unusable), None)
