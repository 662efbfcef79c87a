"""Random weights, made when they are read and stored nowhere. May be called from any thread."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from model.layout import Shapes

_CPU = torch.device("cpu")


class RandomTensors(Mapping[str, Tensor]):
    """Tensors made on a device when they are read, scaled so that activations neither die nor explode."""

    def __init__(self, shapes: Shapes, device: torch.device = _CPU) -> None:
        self._shapes = shapes
        self._device = device

    def __getitem__(self, name: str) -> Tensor:
        shape = self._shapes[name]
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
        generator = torch.Generator(self._device).manual_seed(seed)
        noise = torch.randn(shape, generator=generator, device=self._device)
        if "norm" in name:
            return noise.mul_(0.02).add_(1.0 if name.endswith(".weight") else 0.0)
        return noise.mul_(noise[0].numel() ** -0.5 if noise.ndim > 1 else 0.02)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)
