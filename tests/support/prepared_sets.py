"""Small sets of prepared weights, as a worker would keep them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from model.runtime.prepared_weights import PreparedWeights


def forbidden() -> Sequence[Tensor]:
    raise AssertionError("it is known already")


def some(*numbers: float) -> list[Tensor]:
    return [torch.tensor(numbers), torch.tensor([7], dtype=torch.int8)]


def kept(folder: Path, fingerprint: str = "a model", precision: str = "int8") -> PreparedWeights:
    prepared = PreparedWeights(folder, fingerprint, precision)
    prepared("one", lambda: some(1.0, 2.0))
    if (writing := prepared.keep()) is not None:
        writing.join()
    return prepared


def set_in(folder: Path) -> Path:
    [table] = folder.glob("*/tensors.json")
    return table.parent
