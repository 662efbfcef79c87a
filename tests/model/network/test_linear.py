"""The forms of a linear layer: all compute the same product, int8 within its rounding; rows do not see each other."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from model.network.int8_linear import Int8Linear, round_int8, weight_levels
from model.network.linear import Linear, PackedLinear, PlainLinear, linear, packs, repacks

CPU = torch.device("cpu")
FORMS = {
    "plain": PlainLinear,
    "packed": PackedLinear,
    "int8": lambda weight, bias: Int8Linear(*round_int8(weight), bias),
}


def layer(
    form: str, bias: bool = True, dtype: torch.dtype = torch.float32
) -> tuple[Linear, torch.Tensor, torch.Tensor]:
    chance = torch.Generator().manual_seed(1)
    weight = torch.randn(24, 40, generator=chance).to(dtype)
    offset = torch.randn(24, generator=chance).to(dtype)
    return FORMS[form](weight, offset if bias else None), weight, offset if bias else torch.zeros(24, dtype=dtype)


@pytest.mark.parametrize("shape", [(40,), (1, 40), (7, 40), (2, 3, 40)], ids=str)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize(("form", "error"), [("plain", 0.0), ("packed", 1e-5), ("int8", 0.02)])
def test_every_form_computes_the_product(form: str, error: float, bias: bool, shape: tuple[int, ...]) -> None:
    ours, weight, offset = layer(form, bias)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    wanted = F.linear(x, weight, offset)
    got = ours(x)
    if form == "int8":
        error *= 127 / weight_levels()  # weights of 7 bits are rounded twice as coarsely as those of 8
    assert got.shape == wanted.shape
    assert (got - wanted).abs().max() <= error * wanted.abs().max()


def test_int8_weights_are_the_same_however_few_are_rounded_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, x = torch.randn(40, 64), torch.randn(3, 64)
    whole = Int8Linear(*round_int8(weight), None)(x)
    monkeypatch.setattr("model.network.int8_linear._FEW_NUMBERS", 3 * 64)
    assert torch.equal(Int8Linear(*round_int8(weight), None)(x), whole)


def test_bfloat16_stays_bfloat16_in_every_form() -> None:
    for form in FORMS:
        if form == "packed" and not packs(CPU, torch.bfloat16):
            continue  # a processor without bfloat16 instructions
        ours, weight, offset = layer(form, dtype=torch.bfloat16)
        x = torch.randn(3, 40).to(torch.bfloat16)
        assert ours(x).dtype is torch.bfloat16
        torch.testing.assert_close(ours(x), F.linear(x, weight, offset), rtol=0.05, atol=0.5)


def test_an_int8_row_says_the_same_alone_and_beside_a_row_a_thousand_times_larger() -> None:
    ours, _, _ = layer("int8")
    x = torch.randn(2, 40) * torch.tensor([[1.0], [1000.0]])
    assert torch.equal(ours(x)[0], ours(x[:1])[0])


@pytest.mark.parametrize("rows", [1, 8, 300])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_int8_sums_do_not_saturate(rows: int, sign: float) -> None:
    """All inputs and weights are as large as they can be: processors without VNNI lose most of such a sum."""
    width = 1280
    ours = Int8Linear(*round_int8(sign * torch.ones(16, width)), None)
    torch.testing.assert_close(ours(torch.ones(rows, width)), torch.full((rows, 16), sign * width))


@pytest.mark.parametrize("rows", [1, 8, 300])
def test_int8_sums_are_exact(rows: int) -> None:
    """Integers that need no rounding: scales are 1, as the largest input is 127 and the largest weight its levels."""
    chance, levels = torch.Generator().manual_seed(3), weight_levels()
    weight = torch.randint(-levels, levels + 1, (24, 640), generator=chance).float()
    x = torch.randint(-127, 128, (rows, 640), generator=chance).float()
    weight[:, 0], x[:, 0] = levels, 127
    torch.testing.assert_close(Int8Linear(*round_int8(weight), None)(x), x @ weight.T, rtol=1e-6, atol=0.5)


def test_a_row_of_zeros_gives_the_bias_in_int8() -> None:
    ours, _, offset = layer("int8")
    torch.testing.assert_close(ours(torch.zeros(1, 40))[0], offset)


def test_what_is_no_number_stays_none_in_int8() -> None:
    """A row that went wrong must be seen to have gone wrong."""
    ours, _, _ = layer("int8")
    x = torch.ones(2, 40)
    x[0, 3] = float("nan")
    assert not ours(x)[0].isfinite().any()
    assert ours(x)[1].isfinite().all()


def test_a_cpu_packs_float32_and_never_float16() -> None:
    assert isinstance(linear(torch.ones(513, 512), None), PackedLinear)
    assert isinstance(linear(torch.ones(4, 4, dtype=torch.float16), None), PlainLinear)
    assert not isinstance(linear(torch.ones(4, 4), None, bits=8), PackedLinear)
    assert not packs(torch.device("cuda"), torch.bfloat16)


@pytest.mark.parametrize(("capability", "form"), [("AVX2", PlainLinear), ("AVX512", PackedLinear)])
def test_a_small_float32_matrix_is_not_packed_without_avx_512(
    capability: str, form: type[Linear], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert isinstance(linear(torch.ones(512, 512), None), form)
    assert isinstance(linear(torch.ones(513, 512), None), PackedLinear)


def test_int8_weights_are_laid_out_anew_where_sums_of_8_bits_saturate() -> None:
    assert repacks(layer("int8")[0]) == (weight_levels() < 127)
    assert not repacks(layer("plain")[0])
