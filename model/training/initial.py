"""Initial values of Pheye's trained tensors (arXiv 2501.02584, section 2.1). Pure; any thread."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

import torch
from torch import Tensor

from model.config import PheyeConfig
from model.layout import is_trained, tensor_shapes

_NEW_STD = 0.01  # of new linear layers and tile positions
_SMALL_DEPTH = 36  # output matrices start smaller still: their sum over twice so many blocks must stay small


def initial_tensors(config: PheyeConfig, ranks: Mapping[str, int], seed: int) -> dict[str, Tensor]:
    """Return every trained tensor by canonical name, float32, each drawn from the seed and its own name.

    The language model begins as it was: output matrices of the new blocks are near zero, and an adapter adds nothing
    (its B is zero).
    """
    shapes = tensor_shapes(config, ranks)
    return {name: _initial(name, shape, config, seed) for name, shape in shapes.items() if is_trained(name)}


def _initial(name: str, shape: tuple[int, ...], config: PheyeConfig, seed: int) -> Tensor:
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    chance = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
    if "norm" in name:
        return torch.ones(shape) if name.endswith(".weight") else torch.zeros(shape)
    if name.endswith(".bias") or ".lora_B." in name:
        return torch.zeros(shape)
    if ".lora_A." in name:  # peft's own start: Kaiming uniform with a = sqrt(5), that is 1 / sqrt(inputs)
        bound = math.prod(shape[1:]) ** -0.5
        return torch.empty(shape).uniform_(-bound, bound, generator=chance)
    last = name.endswith((".attn.to_out.weight", ".ff.fc2.weight"))
    std = _NEW_STD / math.sqrt(2 * max(config.decoder.layers, _SMALL_DEPTH)) if last else _NEW_STD
    return torch.randn(shape, generator=chance) * std
