"""Attention over features themselves: the Triton kernel, interpreted, against its naive twin.

Run by `test_kernels_interpreted.py` in a process of its own.
"""

from __future__ import annotations

import pytest
import torch

from model.network.decode import reference
from model.network.decode.attention import absorbed_attention, available, decode_attention
from model.network.kernels.groups import DecodeGroups

# The interpreter rounds to bfloat16 by cutting off, so that a result may be wrong by one last place: 2**-7 of it.
BOUNDS = {torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 2**-7}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    assert available(torch.device("cpu"))
    torch.manual_seed(0)


@pytest.mark.parametrize("splits", [1, 2], ids=["whole", "split in 2"])
@pytest.mark.parametrize(
    ("width", "heads", "dtype"),
    [
        pytest.param(64, 2, torch.float32, id="less than a slice for each warp"),
        pytest.param(128, 3, torch.float16, id="one part"),
        pytest.param(200, 17, torch.float32, id="two parts, one of them padded, and a head too many for one program"),
        pytest.param(1280, 1, torch.float32, id="two parts, as in ViT-H/14"),
        pytest.param(1280, 1, torch.float16, id="the same in float16"),
        pytest.param(1280, 1, torch.bfloat16, id="the same in bfloat16"),
    ],
)
def test_rows_over_features_agree_with_the_twin(width, heads, dtype, splits):
    features, qk = torch.randn(3, 101, width).to(dtype), torch.randn(4, heads, width).to(dtype)
    groups = DecodeGroups.shared([2, 0, -1, 2])
    scale = width**-0.5
    fast = absorbed_attention(qk, features, groups, scale, splits=splits).double()
    exact = reference.absorbed_attention(qk.double(), features.double(), groups, scale)
    torch.testing.assert_close(fast, exact, atol=BOUNDS[dtype], rtol=BOUNDS[dtype])
    assert not fast[2].any()


@pytest.mark.parametrize("tokens", [1, 15, 16, 17, 31, 32, 33, 64, 65, 96, 97, 128, 129])
def test_numbers_of_tokens_at_the_edges_of_tiles_and_splits_agree_with_the_twin(tokens):
    features, qk = torch.randn(1, tokens, 32), torch.randn(1, 1, 32)
    groups = DecodeGroups.alone([0])
    fast = absorbed_attention(qk, features, groups, 0.25, splits=2).double()
    exact = reference.absorbed_attention(qk.double(), features.double(), groups, 0.25)
    torch.testing.assert_close(fast, exact, atol=1e-6, rtol=1e-6)


def test_it_gives_what_attention_over_projected_keys_and_values_gives():
    rows, heads, width, seen = 3, 2, 16, 128
    features = torch.randn(2, 70, seen)
    to_k, to_v = (torch.randn(heads, width, seen) * seen**-0.5 for _ in range(2))
    k_bias, v_bias = torch.randn(heads, 1, width), torch.randn(heads, 1, width)
    keys, values = (
        features.unsqueeze(1) @ weight.transpose(1, 2) + bias for weight, bias in ((to_k, k_bias), (to_v, v_bias))
    )
    q, groups = torch.randn(rows, heads, width), DecodeGroups.shared([1, 0, 1])
    projected = decode_attention(q, keys, values, groups, 70, 0.25, splits=1)
    qk = torch.bmm(q.transpose(0, 1), to_k).transpose(0, 1)  # [B, H, seen]
    context = absorbed_attention(qk, features, groups, 0.25, splits=1)
    absorbed = (torch.bmm(context.transpose(0, 1), to_v.transpose(1, 2)) + v_bias).transpose(0, 1)
    torch.testing.assert_close(absorbed, projected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("splits", [1, 2], ids=["whole", "split in 2"])
def test_any_strides_will_do_and_nothing_else_is_read_or_written(splits):
    storage = torch.full((2, 140, 2, 64), float("nan"))
    features = storage[:, :100, 1]
    features.normal_()
    heads_first = torch.randn(3, 2, 64)
    out = torch.full((2, 2, 3, 64), 7.0)
    groups = DecodeGroups.shared([1, 0])
    absorbed_attention(heads_first.transpose(0, 1), features, groups, 0.125, out=out[:, 1], splits=splits)
    exact = reference.absorbed_attention(heads_first.transpose(0, 1).double(), features.double(), groups, 0.125)
    torch.testing.assert_close(out[:, 1].double(), exact, atol=1e-6, rtol=1e-6)
    assert (out[:, 0] == 7).all()
