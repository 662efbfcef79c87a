"""The adapted linear layer computes what peft computes, forward and backward."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from model.training.passes.lora import adapted_linear


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_values_and_gradients_are_those_of_peft(bias: bool) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(24, 16, bias=bias))
    adapted = get_peft_model(plain, LoraConfig(r=4, lora_alpha=8, target_modules=["0"], init_lora_weights=False))
    layer = adapted.base_model.model[0]
    down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    x, seen = torch.randn(10, 24, requires_grad=True), torch.randn(10, 16)
    below = [each.requires_grad_() for each in (layer.base_layer.weight, layer.base_layer.bias) if each is not None]
    learning = (x, down, up, *below)
    expected = adapted(x)
    wanted = torch.autograd.grad(expected, learning, seen)
    found = adapted_linear(x, layer.base_layer.weight, layer.base_layer.bias, down, up)
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(torch.autograd.grad(found, learning, seen), wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_gradients_are_those_of_finite_differences() -> None:
    torch.manual_seed(1)
    x, down, up = (torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((3, 5), (2, 5), (4, 2)))
    weight, bias = torch.randn(4, 5, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda *free: adapted_linear(free[0], weight, bias, *free[1:]), (x, down, up))


def test_a_frozen_input_gets_no_gradient_and_the_adapter_does() -> None:
    x, weight = torch.randn(3, 5), torch.randn(4, 5)
    down, up = torch.randn(2, 5, requires_grad=True), torch.randn(4, 2, requires_grad=True)
    adapted_linear(x, weight, None, down, up).sum().backward()
    assert down.grad is not None
    assert up.grad is not None
    assert x.grad is None
