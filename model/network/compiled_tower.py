"""Layers of a vision tower as one compiled call: of a small one tile by tile, of a large one by rows of tokens."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from model.network.compiled.linear import crew
from model.network.compiled.loops.rows import ACTIVATION_CODES
from model.network.compiled.loops.sizes import PANEL
from model.network.compiled.parts import Norm, TowerLayer
from model.network.compiled.vision import large_tower, tower


class _Layers:
    """Layers of a vision tower, their weights copied into panels; none at first.

    Args:
        heads: of attention.
        inner: width between the feed-forward's products.
        activation: by name, as `rows.ACTIVATION_CODES` has it.
        eps: of the layers' norms.
        last: the norm behind them.
    """

    def __init__(self, heads: int, inner: int, activation: str, eps: float, last: Norm) -> None:
        self._held: list[list[Tensor]] = []
        self._table = np.empty((0, tower.LAYER_COLUMNS), dtype=np.int64)
        self._heads, self._inner, self._last = heads, inner, last  # held, because the compiled code knows addresses
        self._rules = heads, inner, ACTIVATION_CODES[activation], np.float32(eps)
        self._last_norm = last.weight.data_ptr(), last.bias.data_ptr(), np.float32(last.eps)

    def add(self, layer: TowerLayer) -> None:
        """Copy one more layer's weights, behind those that are there."""
        tensors = [_in_panels(tensor) if tensor.ndim == 2 else tensor for tensor in layer]
        addresses = np.array([[tensor.data_ptr() for tensor in tensors]], dtype=np.int64)
        self._table = np.concatenate([self._table, addresses])
        self._held.append(tensors)


class CompiledTower(_Layers):
    """Layers whose weights and tiles stay in a core's cache. Threads may call it at once, each for its own tiles."""

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
                self._table, x.data_ptr(), out.data_ptr(), tiles, tokens, width, *self._rules, *self._last_norm,
                rooms.data_ptr(), 4 * size, thread, together.size,
            )  # fmt: skip

        together.run(work)
        return out


class LargeCompiledTower(_Layers):
    """Layers whose weights are too large for a core's cache."""

    def __call__(self, x: Tensor, tiles: int) -> Tensor:
        """Run the layers over tiles' tokens, float32 [tiles * tokens, D] -> the normalised last state, likewise."""
        x = x.clone(memory_format=torch.contiguous_format)
        assert x.dtype == torch.float32
        tokens, width = len(x) // tiles, x.shape[1]
        together, ready = crew(), large_tower.encode.ready
        qkv, seen, out = torch.empty(len(x), 3 * width), torch.empty_like(x), torch.empty_like(x)
        size = large_tower.thread_floats(tokens, width, self._heads, self._inner)
        rooms = torch.empty(together.size, size)

        def work(thread: int) -> None:
            ready(
                self._table, x.data_ptr(), qkv.data_ptr(), seen.data_ptr(), out.data_ptr(), tiles, tokens, width,
                *self._rules, *self._last_norm, rooms.data_ptr(), 4 * size, together.counter, thread, together.size,
            )  # fmt: skip

        together.run(work)
        return out


def _in_panels(weight: Tensor) -> Tensor:
    """Lay out weights, float32 [out, in], as panels [out / 16, in, 16], by all threads."""
    weight, together, ready = weight.contiguous(), crew(), large_tower.lay_out.ready
    panels = torch.empty(len(weight) // PANEL, weight.shape[1], PANEL)

    def work(thread: int) -> None:
        ready(weight.data_ptr(), *weight.shape, panels.data_ptr(), thread, together.size)

    together.run(work)
    return panels
