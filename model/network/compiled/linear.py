"""Linear layers in int8, int4 or float32 by the compiled kernels: alone as a layer, or as part of a compiled step.

Called by the engine's thread; `crew` by any.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import os
import threading
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.network.compiled import products
from model.network.compiled.packing import BLOCK_OUTPUTS, FLOAT_BITS, GROUP, PackedWeights
from model.network.compiled.products import INPUT_COLUMNS, PRODUCT_COLUMNS
from model.network.compiled.threads import Crew

_FEW = 8  # rows, up to which the kernels compute them; more are `of_many`'s
_MAKING = threading.Lock()
_SHARED: dict[int, Crew] = {}  # by the number of threads; a process uses one number, as a rule


def crew() -> Crew:
    """Return as many threads as torch computes with; those of other numbers sleep."""
    size = torch.get_num_threads()
    with _MAKING:  # two threads may encode at once
        if size not in _SHARED:
            _SHARED[size] = Crew(size)
        return _SHARED[size]


os.register_at_fork(after_in_child=_SHARED.clear)  # threads stay behind


class RoundedRows:
    """Room for rows of inputs that are rounded to int8, or copied for weights in float32; see `products.round_row`.

    Args:
        rows: at most.
        inputs: of the widest layer.
        bits: of the weights.
    """

    def __init__(self, rows: int, inputs: int, bits: int) -> None:
        padded = -(-inputs // GROUP) * GROUP
        kinds = (torch.int8, torch.int16, torch.float32, torch.int32, torch.int32, torch.float32)
        is_rounded = bits != FLOAT_BITS
        widths = (padded, padded, 1, 1, padded // GROUP, 0) if is_rounded else (0, 0, 0, 0, 0, padded)
        self._tensors = [torch.empty(rows * width, dtype=kind) for width, kind in zip(widths, kinds, strict=True)]
        self.table = np.array([tensor.data_ptr() if tensor.numel() else 0 for tensor in self._tensors], dtype=np.int64)
        assert len(self.table) == INPUT_COLUMNS


class CompiledLinear:
    """Linear layer whose weights are packed for the compiled kernels.

    Each row of the input is rounded by itself and integer sums are exact: by the kernels, a row says the same alone and
    in a batch. `of_many` computes more than 8 rows at once, whose last bits may differ from those of fewer.

    Args:
        weights: the weights.
        bias: [out]; none if None.
        of_many: the same layer in a form that is faster for many rows; none if None.
    """

    def __init__(
        self, weights: PackedWeights, bias: Tensor | None, of_many: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        self.weights = weights
        self._of_many = of_many
        self.padded_outputs = len(weights.blocks) * BLOCK_OUTPUTS
        self._bias = torch.zeros(self.padded_outputs)
        if bias is not None:
            self._bias[: weights.outputs] = bias
        self.row = np.zeros(PRODUCT_COLUMNS, dtype=np.int64)
        self.row[:] = (
            weights.bits, self.padded_outputs, weights.padded_inputs, weights.blocks.data_ptr(),
            weights.blocks.stride(0), weights.scales.data_ptr(), self._bias.data_ptr(),
        )  # fmt: skip

    def __call__(self, x: Tensor) -> Tensor:
        """Map inputs [..., in] to outputs [..., out]."""
        if self._of_many is not None and x.numel() > _FEW * x.shape[-1]:
            return self._of_many(x)
        rows = x.reshape(-1, x.shape[-1]).float().contiguous()
        rounded = RoundedRows(len(rows), rows.shape[1], self.weights.bits)
        out = torch.empty(len(rows), self.padded_outputs)
        together, ready = crew(), products.layer.ready

        def work(thread: int) -> None:
            ready(
                self.row, rounded.table, rows.data_ptr(), rows.shape[1], len(rows), out.data_ptr(), together.counter,
                thread, together.size,
            )  # fmt: skip

        together.run(work)
        return out[:, : self.weights.outputs].reshape(*x.shape[:-1], -1).to(x.dtype)


def table_of(layers: list[CompiledLinear]) -> NDArray[np.int64]:
    """Return the table of products of some layers, which must stay alive."""
    return np.stack([layer.row for layer in layers])
