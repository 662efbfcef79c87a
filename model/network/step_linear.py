"""Linear layers over the few rows of a decode step, with activation and residual: one kernel on a GPU.

Knows no models. Called by the engine's thread only.
"""

from __future__ import annotations

from torch import Tensor

from model.network.decode_attention import available
from model.network.kernels import skinny
from model.network.layers import ACTIVATIONS
from model.network.linear import Linear, PlainLinear


def apply(
    layer: Linear,
    x: Tensor,
    *,
    activation: str | None = None,
    start: int = 0,
    residual: Tensor | None = None,
) -> Tensor:
    """Apply a layer to a decode step's rows, with what follows it; on a GPU all in one kernel.

    Args:
        layer: the layer.
        x: its input [B, in]; rows may be apart in memory.
        activation: name of the activation that follows; none if None.
        start: output from which on it follows.
        residual: is added in the end [B, out].

    Returns:
        Outputs [B, out].
    """
    if isinstance(layer, PlainLinear) and len(x) <= skinny.MOST_ROWS and available(x.device):
        return skinny.skinny(x, layer.weight, layer.bias, activation=activation, start=start, residual=residual)
    out = layer(x)
    if activation is not None:
        out[:, start:] = ACTIVATIONS[activation](out[:, start:])
    return out if residual is None else out.add_(residual)
