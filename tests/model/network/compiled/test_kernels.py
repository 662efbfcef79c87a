"""Single compiled kernels against plain torch in double precision, whatever the processor; rows do not see each other.

`test_processors.py` runs this file again for processors that lack instructions, or have more.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

pytest.importorskip("numba")

from model.network.compiled import attention, linear
from model.network.compiled.linear import CompiledLinear
from model.network.compiled.loops import rows
from model.network.compiled.packing import GROUP, pack_floats, pack_int4, pack_int8, unpacked
from model.network.compiled.rounding import pack_int4_fast, pack_int8_fast
from model.network.compiled.steps import _memory

FORMS = {"int8": pack_int8, "int4": pack_int4, "float32": pack_floats}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def layer(form: str, outputs: int = 40, inputs: int = 3 * GROUP) -> tuple[CompiledLinear, Tensor, Tensor]:
    packed, bias = FORMS[form](torch.randn(outputs, inputs)), torch.randn(outputs)
    return CompiledLinear(packed, bias), unpacked(packed).double(), bias.double()


def rounded(x: Tensor, form: str) -> Tensor:
    """Rows as the kernels round them, in double precision."""
    if form == "float32":
        return x.double()
    scales = x.abs().amax(-1, keepdim=True).clamp(min=1e-8) / 127
    return (x / scales).round().double() * scales.double()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 70])
@pytest.mark.parametrize("form", FORMS)
def test_a_product_is_exact_but_for_the_rounding_of_weights_and_inputs(form, count):
    ours, weight, bias = layer(form)
    x = torch.randn(count, 3 * GROUP)
    wanted = rounded(x, form) @ weight.T + bias
    torch.testing.assert_close(ours(x).double(), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("outputs", "inputs"), [(24, 40), (5, 64), (9, 100)], ids=str)
@pytest.mark.parametrize("form", FORMS)
def test_sizes_that_fill_no_block_agree_too(form, outputs, inputs):
    ours, weight, bias = layer(form, outputs, inputs)
    x = torch.randn(2, 3, inputs)
    torch.testing.assert_close(ours(x).double(), rounded(x, form) @ weight.T + bias, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_a_row_says_the_same_alone_and_beside_others(form):
    ours, _, _ = layer(form)
    x = torch.randn(7, 3 * GROUP) * torch.logspace(-3, 3, 7).unsqueeze(1)
    together = ours(x)
    for row in range(7):
        assert torch.equal(ours(x[row : row + 1])[0], together[row])


@pytest.mark.parametrize("form", FORMS)
def test_the_largest_inputs_and_weights_overflow_nothing(form):
    weight = torch.ones(16, 8192)
    packed = FORMS[form](weight)
    got = CompiledLinear(packed, None)(torch.ones(1, 8192))
    torch.testing.assert_close(got, unpacked(packed).sum(1, keepdim=True).T, rtol=1e-5, atol=0)
    got = CompiledLinear(packed, None)(-torch.ones(1, 8192))
    torch.testing.assert_close(got, -unpacked(packed).sum(1, keepdim=True).T, rtol=1e-5, atol=0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")], ids=str)
@pytest.mark.parametrize("form", FORMS)
def test_what_is_no_number_stays_none(form, bad):
    ours, _, _ = layer(form)
    x = torch.ones(2, 3 * GROUP)
    x[0, 3] = bad
    assert not ours(x)[0].isfinite().any()
    assert ours(x)[1].isfinite().all()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_any_number_of_threads_gives_the_same(threads, monkeypatch):
    ours, _, _ = layer("int4", outputs=56)
    x = torch.randn(3, 3 * GROUP)
    wanted = ours(x)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert linear.crew().size == threads
    assert torch.equal(ours(x), wanted)


@pytest.mark.parametrize("shape", [(8, GROUP), (19, 200), (64, 3 * GROUP)], ids=str)
def test_int4_is_packed_as_its_twin_packs_it(shape):
    weight = torch.randn(shape)
    weight[0, :GROUP] = 0
    fast, slow = pack_int4_fast(weight, linear.crew()), pack_int4(weight)
    assert fast.blocks.shape == slow.blocks.shape
    # Two scales may lose the same but for the order in which losses are added up.
    lost = [(unpacked(packed) - weight).square().sum(1) for packed in (fast, slow)]
    torch.testing.assert_close(*lost, rtol=1e-5, atol=1e-6)
    assert (fast.blocks == slow.blocks).double().mean() > 0.98


@pytest.mark.parametrize("shape", [(8, GROUP), (19, 200), (64, 3 * GROUP), (1003, 1100)], ids=str)
def test_int8_is_packed_as_its_twin_packs_it(shape):
    weight = torch.randn(shape)
    fast, slow = pack_int8_fast(weight, linear.crew()), pack_int8(weight)
    assert torch.equal(fast.blocks, slow.blocks)
    torch.testing.assert_close(fast.scales[: shape[0]], slow.scales[: shape[0]], rtol=1e-6, atol=0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")], ids=str)
@pytest.mark.parametrize("pack", [pack_int8_fast, pack_int4_fast])
def test_a_weight_that_is_no_number_is_seen_in_its_output_alone(pack, bad):
    weight = torch.randn(16, 2 * GROUP)
    weight[3, GROUP + 5] = bad
    got = CompiledLinear(pack(weight, linear.crew()), None)(torch.randn(2, 2 * GROUP))
    assert not got[:, 3].isfinite().any()
    assert got[:, [row for row in range(16) if row != 3]].isfinite().all()


def seen(q: Tensor, keys: Tensor, values: Tensor, slot: int, tokens: int, members: list[int]) -> Tensor:
    """Attention by the kernel, head after head, over queries [B, H, d]."""
    out = q.clone()
    scratch = torch.empty(len(members) * (tokens + 8 + 2 * q.shape[2]))
    memory, numbers = np.array(_memory(keys, values)), np.array(members)
    for head in range(q.shape[1]):
        attention.attend(
            memory, slot, head, tokens, np.float32(0.125), numbers, out.data_ptr(), 4 * q.shape[1] * q.shape[2],
            scratch.data_ptr(),
        )  # fmt: skip
    return out


@pytest.mark.parametrize("tokens", [1, 7, 8, 64, 77, 200])
@pytest.mark.parametrize("width", [32, 64, 96])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_attention_agrees_with_the_definition(dtype, width, tokens):
    keys, values = (torch.randn(3, 2, 201, width).to(dtype) for _ in range(2))
    q = torch.randn(5, 2, width)
    got = seen(q, keys, values, 1, tokens, [3, 0])
    near = keys[1, :, :tokens].double(), values[1, :, :tokens].double()
    wanted = F.scaled_dot_product_attention(q.double().transpose(0, 1), *near, scale=0.125).transpose(0, 1)
    for row in range(5):
        torch.testing.assert_close(
            got[row].double(), wanted[row] if row in (0, 3) else q[row].double(), rtol=1e-5, atol=1e-6
        )
    alone = seen(q, keys, values, 1, tokens, [3])
    assert torch.equal(alone[3], got[3])


def test_a_key_that_is_no_number_shows_and_one_beyond_the_row_does_not():
    keys, values = (torch.randn(1, 1, 80, 32) for _ in range(2))
    keys[0, 0, 40] = float("nan")
    assert seen(torch.randn(1, 1, 32), keys, values, 0, 40, [0]).isfinite().all()
    assert not seen(torch.randn(1, 1, 32), keys, values, 0, 41, [0]).isfinite().any()


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("gelu", F.gelu),
        ("gelu_new", lambda x: F.gelu(x, approximate="tanh")),
        ("quick_gelu", lambda x: x * torch.sigmoid(1.702 * x)),
    ],
    ids=["gelu", "gelu_new", "quick_gelu"],
)
def test_activations_agree_with_torch(name, wanted):
    x = torch.linspace(-30, 30, 4001)
    got = x.clone()
    rows.activate(got.data_ptr(), len(got), rows.ACTIVATION_CODES[name])
    torch.testing.assert_close(got.double(), wanted(x.double()), rtol=1e-6, atol=2e-6)


def test_layer_norm_agrees_with_torch():
    x, weight, bias = (torch.randn(200) for _ in range(3))
    out = torch.empty(200)
    places = (weight.data_ptr(), bias.data_ptr(), np.float32(1e-5), out.data_ptr())
    rows.layer_norm(x.data_ptr(), 200, *places)
    torch.testing.assert_close(out, F.layer_norm(x, (200,), weight, bias, 1e-5))
