"""Linear layers over the few rows of a decode step, with activation and residual: one kernel on a GPU.

Knows no models. Called by the engine's thread only.
"""

from __future__ import annotations

from typing import TypeGuard

from torch import Tensor

from model.network.decode.attention import available
from model.network.kernels import skinny
from model.network.layers import ACTIVATIONS, LayerNorm
from model.network.linear import Linear, PlainLinear

_LIBRARY_ROWS = 16  # above which the library's product is faster if nothing follows it


def apply(
    layer: Linear,
    x: Tensor,
    *,
    activation: str | None = None,
    start: int = 0,
    residual: Tensor | None = None,
) -> Tensor:
    """Apply a layer to a decode step's rows, with the activation or residual that follows it; one kernel on a GPU.

    Args:
        layer: the layer.
        x: its input [B, in]; rows may be apart in memory.
        activation: name of the activation that follows; none if None.
        start: output from which on it follows.
        residual: is added in the end [B, out].

    Returns:
        Outputs [B, out].
    """
    if _is_skinny(layer, x) and not (activation is None and residual is None and len(x) > _LIBRARY_ROWS):
        return skinny.skinny(x, layer.weight, layer.bias, activation=activation, start=start, residual=residual)
    out = layer(x)
    if activation is not None:
        out[:, start:] = ACTIVATIONS[activation](out[:, start:])
    return out if residual is None else out.add_(residual)


def add_and_norm(layer: Linear, x: Tensor, residual: Tensor, norm: LayerNorm) -> tuple[Tensor, Tensor]:
    """Add a layer's output to the residual stream, and normalise the stream for what comes next.

    Args:
        layer: the layer.
        x: its input [B, in]; rows may be apart in memory.
        residual: the residual stream before it [B, out].
        norm: of what comes next.

    Returns:
        The residual stream [B, out], and the same normalised.
    """
    if _is_skinny(layer, x) and layer.bias is not None:
        parts = skinny.skinny_parts(x, layer.weight)
        return skinny.finish(parts, layer.bias, residual, norm.weight, norm.bias, norm.eps)
    stream = apply(layer, x, residual=residual)
    return stream, norm(stream)


def _is_skinny(layer: Linear, x: Tensor) -> TypeGuard[PlainLinear]:
    return isinstance(layer, PlainLinear) and len(x) <= skinny.MOST_ROWS and available(x.device)
