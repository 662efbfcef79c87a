"""Linear layers of a decode step: the Triton kernel, interpreted, against plain torch.

Run by `test_kernels_interpreted.py` in a process of its own.
"""

from __future__ import annotations

import pytest
import torch

from model.network.decode.attention import available
from model.network.decode.linear import add_and_norm, apply
from model.network.kernels.skinny import SkinnyTile, skinny, splits_of
from model.network.layers import ACTIVATIONS, LayerNorm
from model.network.linear import PlainLinear

BOUNDS = {torch.float32: 2e-5, torch.float16: 4e-3, torch.bfloat16: 2**-6}
NAMES = [None, *sorted(ACTIVATIONS)]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    assert available(torch.device("cpu"))
    torch.manual_seed(0)


def expected(x, weight, bias, activation, start, residual):
    out = x.double() @ weight.double().T + bias.double()
    if activation is not None:
        out[:, start:] = ACTIVATIONS[activation](out[:, start:])
    return out if residual is None else out + residual.double()


@pytest.mark.parametrize("dtype", BOUNDS, ids=lambda dtype: str(dtype).removeprefix("torch."))
@pytest.mark.parametrize("activation", NAMES, ids=str)
@pytest.mark.parametrize(
    ("rows", "inputs", "outputs"),
    [
        pytest.param(1, 64, 48, id="one row"),
        pytest.param(17, 96, 100, id="a row too many for one tile, odd sizes"),
        pytest.param(64, 200, 33, id="as many rows as there may be"),
    ],
)
def test_a_layer_of_few_rows_agrees_with_torch(rows, inputs, outputs, activation, dtype):
    wide = torch.randn(rows, inputs + 5).to(dtype)
    x, residual = wide[:, 5:], torch.randn(rows, outputs).to(dtype)
    weight, bias = (torch.randn(outputs, inputs) * inputs**-0.5).to(dtype), torch.randn(outputs).to(dtype)
    for added in (None, residual):
        out = apply(PlainLinear(weight, bias), x, activation=activation, start=20, residual=added)
        assert out.dtype is dtype
        torch.testing.assert_close(
            out.double(), expected(x, weight, bias, activation, 20, added), atol=4 * BOUNDS[dtype], rtol=BOUNDS[dtype]
        )


@pytest.mark.parametrize(
    "tile", [SkinnyTile(16, 32, 4, 2), SkinnyTile(32, 128, 4, 3)], ids=["small", "larger than the inputs"]
)
def test_every_tile_gives_the_same_product(tile):
    x, weight = torch.randn(3, 72), torch.randn(50, 72)
    torch.testing.assert_close(skinny(x, weight, None, tile=tile), x @ weight.T, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("dtype", BOUNDS, ids=lambda dtype: str(dtype).removeprefix("torch."))
@pytest.mark.parametrize(
    ("rows", "inputs", "outputs"),
    [
        pytest.param(1, 1024, 48, id="one row, four parts"),
        pytest.param(17, 1160, 80, id="parts of unequal length"),
        pytest.param(3, 40, 33, id="too little to split"),
    ],
)
def test_the_sum_of_parts_is_normalised_for_what_comes_next(rows, inputs, outputs, dtype):
    wide = torch.randn(rows, inputs + 3).to(dtype)
    x, residual = wide[:, 3:], torch.randn(rows, outputs).to(dtype)
    weight, bias = (torch.randn(outputs, inputs) * inputs**-0.5).to(dtype), torch.randn(outputs).to(dtype)
    norm = LayerNorm(torch.randn(outputs).to(dtype), torch.randn(outputs).to(dtype), 1e-5)
    stream, normed = add_and_norm(PlainLinear(weight, bias), x, residual, norm)
    torch.testing.assert_close(
        stream.double(), expected(x, weight, bias, None, 0, residual), atol=4 * BOUNDS[dtype], rtol=BOUNDS[dtype]
    )
    torch.testing.assert_close(normed.double(), norm(stream).double(), atol=4 * BOUNDS[dtype], rtol=BOUNDS[dtype])


def test_few_outputs_are_split_until_the_device_is_full_and_parts_are_whole_tiles():
    tile = SkinnyTile(64, 128, 4, 5)
    assert splits_of(2048, 10240, tile) == 9
    assert splits_of(2048, 2048, tile) == 8
    assert splits_of(51200, 2048, tile) == 1
    assert splits_of(48, 40, tile) == 1
