"""Compiled projection of an image's features against the same in torch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

pytest.importorskip("numba")

from model.checkpoint.checkpoint import open_checkpoint
from model.network.compiled.compilation import background
from model.network.compiled.compilation.background import CompiledCode
from model.network.compiled.projection import CompiledProjection
from model.network.pheye import Pheye

CPU = torch.device("cpu")
SLOTS = 3


def memories(heads: int, tokens: int, width: int) -> tuple[Tensor, Tensor]:
    """Keys and values of some slots, full of what must not stay where it is written, and must elsewhere."""
    return torch.full((SLOTS, heads, tokens, width), 7.0), torch.full((SLOTS, heads, tokens, width), 8.0)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("tokens", [4, 5, 7, 255, 257, 1030])
@pytest.mark.parametrize(("heads", "head_width", "inputs"), [(1, 16, 8), (3, 32, 40), (2, 48, 64)], ids=str)
def test_it_agrees_with_the_definition(heads, head_width, inputs, tokens, threads, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    chance = torch.Generator().manual_seed(tokens)
    weight = torch.randn(2 * heads * head_width, inputs, generator=chance)
    bias, features = torch.randn(len(weight), generator=chance), torch.randn(tokens, inputs, generator=chance)
    keys, values = memories(heads, tokens, head_width)
    CompiledProjection(weight, bias)(features, keys[1], values[1])
    wanted = (features.double() @ weight.double().T + bias).view(tokens, 2, heads, head_width).permute(1, 2, 0, 3)
    for found, half, before in ((keys, wanted[0], 7.0), (values, wanted[1], 8.0)):
        torch.testing.assert_close(found[1].double(), half, rtol=1e-5, atol=1e-5)
        assert (found[[0, 2]] == before).all()


@torch.inference_mode()
def test_an_image_gets_the_keys_and_values_that_torch_gives_it(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr(background, "CODE", CompiledCode())
    checkpoint = open_checkpoint("random:pheye-micro", None, CPU)
    model = Pheye(checkpoint.tensors, checkpoint.config, CPU, torch.float32)
    geometry = checkpoint.config.vision
    tiles = list(torch.randn(checkpoint.config.tiles, geometry.tokens_per_tile, geometry.width))
    found = []
    for model._code.ready in (False, True):
        slots = model.new_slots(2, 16)
        model.admit_image(slots, "image", tiles)
        found.append((slots.images.keys[:, 0].clone(), slots.images.values[:, 0].clone()))
    assert all("_compiled" in vars(block) for block in model._decoder._cross.values())
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-5)
