"""Layers of a small vision tower as one compiled call.

Threads may call it at once, each for its own tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

import numpy as np
import torch
from torch import Tensor

from model.network.compiled import tower
from model.network.compiled.linear import crew
from model.network.compiled.loops.panels import panels_of
from model.network.compiled.loops.rows import ACTIVATION_CODES
from model.network.compiled.parts import Norm, TowerLayer


class CompiledTower:
    """Layers of a vision tower, their weights held once more as panels.

    Args:
        layers: in order.
        heads: of attention.
        activation: by name, as `rows.ACTIVATION_CODES` has it.
        eps: of the layers' norms.
        last: the norm behind them.
    """

    def __init__(self, layers: Sequence[TowerLayer], heads: int, activation: str, eps: float, last: Norm) -> None:
        self._held = [
            [panels_of(tensor) if tensor.ndim == 2 else tensor for tensor in astuple(layer)] for layer in layers
        ]
        self._table = np.array([[tensor.data_ptr() for tensor in layer] for layer in self._held], dtype=np.int64)
        assert self._table.shape[1] == tower.LAYER_COLUMNS
        self._heads, self._activation, self._eps, self._last = heads, ACTIVATION_CODES[activation], eps, last
        self._inner = len(layers[0].fc1_bias)

    def __call__(self, x: Tensor, tiles: int) -> Tensor:
        """Run the layers over tiles' tokens, float32 [tiles * tokens, D] -> the normalised last state, likewise."""
        x = x.contiguous()
        assert x.dtype == torch.float32
        tokens, width = len(x) // tiles, x.shape[1]
        together, ready, out = crew(), tower.encode.ready, torch.empty_like(x)
        size = tower.tile_floats(tokens, width, self._heads, self._inner)
        rooms = torch.empty(together.size, size)

        def work(thread: int) -> None:
            ready(
                self._table, x.data_ptr(), out.data_ptr(), tiles, tokens, width, self._heads, self._inner,
                self._activation, np.float32(self._eps), self._last.weight.data_ptr(), self._last.bias.data_ptr(),
                np.float32(self._last.eps), rooms.data_ptr(), 4 * size, thread, together.size,
            )  # fmt: skip

        together.run(work)
        return out
