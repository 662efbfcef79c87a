"""Parts of a decoder that a compiled decode step reads: its linear layers, norms and tables, by name.

Needs no numba, so that a decoder can be asked for its parts before it is known whether they are compiled. Any thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from torch import Tensor

if TYPE_CHECKING:
    from model.network.compiled.linear import CompiledLinear


MOST_TOKENS = 32  # of a step, if there are not more slots: more would not stay in a core's cache


def compiled_of(*layers: object) -> Sequence[CompiledLinear] | None:
    """Return these linear layers for the compiled kernels, if all of them are packed for those or can be now."""
    packed = [layer.compiled() if hasattr(layer, "compiled") else layer for layer in layers]
    if not all(hasattr(layer, "padded_outputs") for layer in packed):
        return None
    return cast("Sequence[CompiledLinear]", packed)


class Norm(Protocol):
    """Layer norm over the last axis, float32."""

    weight: Tensor
    bias: Tensor
    eps: float


@dataclass(frozen=True, slots=True)
class CrossParts:
    """Linear layers and norms of a cross-attention block."""

    to_q: CompiledLinear
    to_out: CompiledLinear
    fc1: CompiledLinear
    fc2: CompiledLinear
    norm: Norm
    ff_norm: Norm


@dataclass(frozen=True, slots=True)
class LayerParts:
    """Linear layers and norm of a decoder layer, and the block before it."""

    into: CompiledLinear
    dense: CompiledLinear
    fc2: CompiledLinear
    norm: Norm
    cross: CrossParts | None


@dataclass(frozen=True, slots=True)
class DecoderParts:
    """Everything of a decoder that a step reads.

    Attributes:
        embedding: float32 [vocab, D].
        cos, sin: of the rotary embedding, float32 [positions, rotary width].
        activation: of the layers, by name.
        layers: in order.
        norm: the last.
        head: the output head.
        scale: of cross-attention's scores.
    """

    embedding: Tensor
    cos: Tensor
    sin: Tensor
    activation: str
    layers: Sequence[LayerParts]
    norm: Norm
    head: CompiledLinear
    scale: float


class TowerLayer(NamedTuple):
    """Weights of a layer, float32: norms [D], and linear layers [out, in] with biases [out]."""

    norm1: Tensor
    norm1_bias: Tensor
    qkv: Tensor
    qkv_bias: Tensor
    out: Tensor
    out_bias: Tensor
    norm2: Tensor
    norm2_bias: Tensor
    fc1: Tensor
    fc1_bias: Tensor
    fc2: Tensor
    fc2_bias: Tensor
