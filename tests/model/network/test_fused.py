"""The naive twins of what lies between matrix products give what separate operations give, to the bit."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from model.network.fused import IN_PLACE, activate_, add_norm, folded
from model.network.kernels import triton_import
from model.network.layers import ACTIVATIONS
from model.network.patches import Patches


@pytest.fixture(autouse=True)
def _without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(triton_import, "INSTALLED", False)


by_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])


def test_every_activation_has_a_form_in_place():
    assert IN_PLACE.keys() == ACTIVATIONS.keys()


@by_dtype
@pytest.mark.parametrize("name", IN_PLACE)
def test_an_activation_in_place_is_the_activation(dtype, name):
    x = torch.randn(3, 50).to(dtype)
    expected, storage = ACTIVATIONS[name](x), x.data_ptr()
    assert torch.equal(activate_(x, name), expected)
    assert x.data_ptr() == storage
    assert torch.equal(x, expected)


@pytest.mark.parametrize("name", IN_PLACE)
def test_a_folded_activation_is_the_activation_but_for_a_factor(name):
    x = torch.randn(3, 50) * 4
    expected = ACTIVATIONS[name](x)
    activate, factor = folded(name, torch.device("cpu"))
    scaled = factor * x
    assert activate(scaled).data_ptr() == scaled.data_ptr()
    torch.testing.assert_close(scaled / factor, expected, atol=1e-6, rtol=1e-5)


def test_only_the_activation_of_three_passes_is_folded():
    assert {name for name in IN_PLACE if folded(name, torch.device("cpu"))[1] != 1.0} == {"quick_gelu"}


@by_dtype
def test_a_sum_goes_into_the_residual_stream_and_its_norm_comes_back(dtype):
    x, delta, weight, bias = (torch.randn(size).to(dtype) for size in ((4, 24), (4, 24), (24,), (24,)))
    summed = x + delta
    normed = add_norm(x, delta, weight, bias, 1e-5)
    assert torch.equal(x, summed)
    assert torch.equal(normed, F.layer_norm(summed, (24,), weight, bias, 1e-5))


def test_a_patch_holds_its_pixels_by_colour_line_and_column():
    cut = Patches(2, torch.device("cpu"), torch.float32)
    tiles = torch.randint(256, (1, 4, 4, 3), dtype=torch.uint8)
    patches, pixels = cut(tiles), cut.pixels(tiles)
    assert patches.shape == (1, 4, cut.width)
    assert patches[0, 2].tolist() == pixels[0, :, 2:, :2].flatten().tolist()
