"""Conversion of a tile's bytes to the input of the patch embedding: CLIP's normalised pixels, patch by patch.

A byte of a colour becomes one of 256 numbers: on CUDA they are looked up in a table, and one kernel writes patches in
the order in which they are multiplied. Knows no weights. Called by the engine's thread only.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model.network.fused import available
from model.network.kernels import fused
from model.pixels.tiles import CLIP_MEAN, CLIP_STD

_ALIGNED = 8  # numbers of 16 bits: rows that are no multiple of 16 bytes slow a matrix product down


class Patches:
    """Conversion of tiles to patches of normalised pixels.

    Args:
        patch_px: side of a patch.
        device: where tiles are.
        dtype: of pixels.
    """

    def __init__(self, patch_px: int, device: torch.device, dtype: torch.dtype) -> None:
        self._patch_px = patch_px
        self._dtype = dtype
        mean, std = (torch.tensor(channels).view(1, 3, 1, 1) for channels in (CLIP_MEAN, CLIP_STD))
        self._mean, self._std = mean.to(device), std.to(device)
        self.width = 3 * patch_px**2
        self._table: Tensor | None = None
        if available(device):
            every = torch.arange(256, dtype=torch.uint8).view(1, 256, 1, 1).expand(1, 256, 1, 3)
            self._table = _normalised(every, mean, std).view(3, 256).to(device, dtype)
            self.width = -(-self.width // _ALIGNED) * _ALIGNED

    def __call__(self, tiles: Tensor) -> Tensor:
        """Cut tiles, uint8 [n, S, S, 3] -> [n, patches, width]: 3 * p * p pixels, then zeros."""
        n, side, p = len(tiles), tiles.shape[1], self._patch_px
        grid = side // p
        if self._table is not None:
            out = torch.empty((n, grid**2, self.width), dtype=self._dtype, device=tiles.device)
            fused.patches(tiles, self._table, p, out)
            return out
        blocks = self.pixels(tiles).view(n, 3, grid, p, grid, p).permute(0, 2, 4, 1, 3, 5)
        return blocks.reshape(n, grid**2, 3 * p**2)

    def pixels(self, tiles: Tensor) -> Tensor:
        """Normalise tiles as CLIP does, uint8 [n, S, S, 3] -> [n, 3, S, S]."""
        return _normalised(tiles, self._mean, self._std).to(self._dtype)


def _normalised(tiles: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return (tiles.permute(0, 3, 1, 2).float() / 255 - mean) / std
