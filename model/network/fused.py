"""Fused operations between matrix products, in one pass over memory: Triton kernels on CUDA, naive twins elsewhere.

On CUDA everything can be captured in a CUDA graph: no call waits for the device. Knows no models. Called by the
engine's thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from model.network.decode.attention import available
from model.network.kernels import fused

__all__ = ["activate_", "add_norm", "available", "folded"]

_QUICK = 1.702  # of CLIP's approximation of GELU, x * sigmoid(1.702 * x)


def activate_(x: Tensor, name: str) -> Tensor:
    """Apply an activation in place.

    Args:
        x: any shape, contiguous.
        name: `gelu`, `gelu_new`, `gelu_pytorch_tanh` or `quick_gelu`.

    Returns:
        The same tensor.
    """
    if not available(x.device):
        return IN_PLACE[name](x)
    fused.activate(x, name)
    return x


def folded(name: str, device: torch.device) -> tuple[Callable[[Tensor], Tensor], float]:
    """Return the quickest activation in place, and a factor c: name(x) = activation(c * x) / c.

    The factor goes into the weights on either side. On CPUs CLIP's x * sigmoid(1.702 * x) takes three passes over
    memory and SiLU, x * sigmoid(x), takes one; every other activation stays as it is, with a factor of 1.

    Args:
        name: as `activate_` takes it.
        device: where it is applied.
    """
    if name == "quick_gelu" and not available(device):
        return _silu_, _QUICK
    return partial(activate_, name=name), 1.0


def add_norm(x: Tensor, delta: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Add to a residual stream in place, and apply layer norm to the sum.

    Args:
        x: residual stream [rows, D], contiguous; changed in place.
        delta: what to add, likewise.
        weight: of the layer norm [D].
        bias: likewise.
        eps: added to the variance.

    Returns:
        The sum, normalised [rows, D].
    """
    if not available(x.device):
        return F.layer_norm(x.add_(delta), weight.shape, weight, bias, eps)
    out = torch.empty_like(x)
    fused.add_norm(x, delta, weight, bias, eps, out)
    return out


def _quick_gelu_(x: Tensor) -> Tensor:
    return x.mul_((_QUICK * x).sigmoid_())


def _silu_(x: Tensor) -> Tensor:
    return F.silu(x, inplace=True)


def _gelu_(x: Tensor) -> Tensor:
    out: Tensor = torch.ops.aten.gelu_(x)
    return out


def _gelu_tanh_(x: Tensor) -> Tensor:
    out: Tensor = torch.ops.aten.gelu_(x, approximate="tanh")
    return out


IN_PLACE: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu": _gelu_,
    "gelu_new": _gelu_tanh_,
    "gelu_pytorch_tanh": _gelu_tanh_,
    "quick_gelu": _quick_gelu_,
}
