"""Linear layer with a LoRA adapter, for training: as fast as the merged layer, and as light as the adapter.

Computes x (W + 2 B A)^T + b with one matrix product, and in the backward pass makes the gradient of a whole weight
matrix only where that is trained, too. peft's way (x W^T + 2 x A^T B^T) is the oracle of the tests. Knows no model.
Any thread.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from model.network.layers import LORA_SCALE


def adapted_linear(x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor) -> Tensor:
    """Map [n, in] to [n, out] in the dtype of `x`; what asks for no gradient is frozen.

    Args:
        x: input [n, in].
        weight: of the layer below [out, in].
        bias: of the layer below [out], or none.
        down: the adapter's A [r, in].
        up: the adapter's B [out, r].
    """
    out: Tensor = _AdaptedLinear.apply(x, weight, bias, down, up)  # type: ignore[no-untyped-call]
    return out


def merged(weight: Tensor, down: Tensor, up: Tensor, dtype: torch.dtype) -> Tensor:
    """Merge a LoRA adapter: W + 2 B A in `dtype` [out, in]."""
    return (weight + LORA_SCALE * (up @ down)).to(dtype)


class _AdaptedLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, down, up)
        ctx.bias_dtype = None if bias is None else bias.dtype
        return F.linear(x, merged(weight, down, up, x.dtype), None if bias is None else bias.to(x.dtype))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, down, up = ctx.saved_tensors
        narrow = LORA_SCALE * (grad @ up.to(grad.dtype))  # [n, r]
        inner = LORA_SCALE * (x @ down.to(x.dtype).T)  # [n, r]
        into = grad @ merged(weight, down, up, grad.dtype) if ctx.needs_input_grad[0] else None
        whole = (grad.T @ x).to(weight.dtype) if ctx.needs_input_grad[1] else None
        shift = grad.sum(0).to(ctx.bias_dtype) if ctx.needs_input_grad[2] else None
        return into, whole, shift, (narrow.T @ x).to(down.dtype), (grad.T @ inner).to(up.dtype)
