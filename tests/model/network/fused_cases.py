"""What lies between the vision encoder's products: the Triton kernels, interpreted, against their naive twins.

Run by `test_kernels_interpreted.py` in a process of its own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from model.checkpoint.random_tensors import RandomTensors
from model.config import named_geometry
from model.layout import tensor_shapes
from model.network import fused
from model.network import patches as patches_module
from model.network.fused import IN_PLACE, activate_, add_norm, available
from model.network.layers import ACTIVATIONS
from model.network.patches import Patches
from model.network.pheye import Pheye

CPU = torch.device("cpu")
# The interpreter rounds to bfloat16 by cutting off, at each of at most three roundings: 2**-7 of the number each time.
BOUNDS = {torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 3 * 2**-7}
by_dtype = pytest.mark.parametrize("dtype", BOUNDS, ids=lambda dtype: str(dtype).removeprefix("torch."))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    assert available(CPU)


@by_dtype
@pytest.mark.parametrize("name", IN_PLACE)
@pytest.mark.parametrize("shape", [(3, 4096), (7, 613), (1, 5)], ids=["whole blocks", "a part of one", "a few"])
def test_activations_are_applied_in_place_as_the_twin_does(dtype, name, shape):
    x = (torch.randn(shape) * 3).to(dtype)
    expected = ACTIVATIONS[name](x)
    storage = x.data_ptr()
    assert activate_(x, name).data_ptr() == storage
    torch.testing.assert_close(x, expected, atol=BOUNDS[dtype], rtol=BOUNDS[dtype])


@pytest.mark.parametrize("name", IN_PLACE)
def test_activations_of_huge_numbers_are_finite(name):
    x = torch.tensor([-1e4, -100.0, -20.0, 0.0, 20.0, 100.0, 1e4])
    expected = ACTIVATIONS[name](x)
    torch.testing.assert_close(activate_(x, name), expected, atol=1e-6, rtol=1e-6)


@by_dtype
@pytest.mark.parametrize("width", [16, 64, 200, 1280])
def test_a_sum_and_its_norm_are_what_the_twin_gives(dtype, width):
    x, delta = ((torch.randn(5, width) * 2 + 1).to(dtype) for _ in range(2))
    weight, bias = torch.randn(width).to(dtype), torch.randn(width).to(dtype)
    summed = x + delta
    expected = F.layer_norm(summed, (width,), weight, bias, 1e-5)
    normed = add_norm(x, delta, weight, bias, 1e-5)
    torch.testing.assert_close(x, summed, atol=BOUNDS[dtype], rtol=BOUNDS[dtype])
    torch.testing.assert_close(normed, expected, atol=4 * BOUNDS[dtype], rtol=4 * BOUNDS[dtype])


def test_rows_of_equal_numbers_far_from_zero_have_no_variance():
    x, delta = torch.full((2, 48), 1000.0), torch.full((2, 48), 24.0)
    bias = torch.arange(48.0)
    assert torch.equal(add_norm(x, delta, torch.ones(48), bias, 1e-5), bias.expand(2, 48))
    assert torch.equal(x, torch.full((2, 48), 1024.0))


@by_dtype
@pytest.mark.parametrize("geometry", ["pheye-micro", "Pheye-x2-672"])
def test_patches_are_the_twin_s_to_the_bit_and_zeros_behind_them(monkeypatch, dtype, geometry):
    vision = named_geometry(geometry).vision
    fast = Patches(vision.patch_px, CPU, dtype)
    monkeypatch.setattr(patches_module, "available", lambda _: False)
    twin = Patches(vision.patch_px, CPU, dtype)
    side = 3 * vision.patch_px
    tiles = torch.randint(256, (2, side, side, 3), dtype=torch.uint8)
    seen, expected = fast(tiles), twin(tiles)
    assert seen.shape == (2, 9, fast.width)
    assert fast.width % 8 == 0
    assert torch.equal(seen[..., : twin.width], expected)
    assert not seen[..., twin.width :].any()


def test_every_byte_of_every_colour_is_looked_up(monkeypatch):
    tiles = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).repeat(1, 1, 1, 3)
    fast = Patches(4, CPU, torch.float32)
    monkeypatch.setattr(patches_module, "available", lambda _: False)
    assert torch.equal(fast(tiles), Patches(4, CPU, torch.float32)(tiles))


def test_a_whole_encoder_of_kernels_gives_the_features_of_its_twin(monkeypatch):
    micro = named_geometry("pheye-micro")
    config = replace(micro, vision=replace(micro.vision, tile_px=28, patch_px=14))  # patches of 588 numbers, padded
    tensors = RandomTensors(tensor_shapes(config, {"first": 4, "second": 4}))
    tiles = np.random.default_rng(0).integers(256, size=(7, 28, 28, 3), dtype=np.uint8)
    indices = [0, 1, 2, 3, 4, 0, 3]
    fast = Pheye(tensors, config, CPU, torch.float32)
    with torch.inference_mode():
        found = fast.encode_tiles(tiles, indices)
        for module in (fused, patches_module):
            monkeypatch.setattr(module, "available", lambda _: False)
        expected = Pheye(tensors, config, CPU, torch.float32).encode_tiles(tiles, indices)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
