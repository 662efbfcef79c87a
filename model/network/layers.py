"""Building blocks of the fast path: weights by name, layer norm, activations.

Inference only: plain tensors, no autograd, no module tree. Knows nothing of Pheye's architecture. One thread at a time
(the engine's).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from model.network.linear import (
    Linear,
    LinearSum,
    PlainLinear,
    SteppedLinear,
    linear,
    round_weight,
    rounded_linear,
)

# Returns the tensors that a function makes, or those that it made under this name when the model was loaded before.
Prepare = Callable[[str, Callable[[], Sequence[Tensor]]], Sequence[Tensor]]
_MANY_NUMBERS = 1 << 20  # from which casting a tensor takes longer than looking it up

LORA_SCALE = 2.0  # alpha / r of both adapters, whatever their ranks (16 / 8 and 32 / 16)


def made_anew(_name: str, make: Callable[[], Sequence[Tensor]]) -> Sequence[Tensor]:
    """Make tensors: the `Prepare` that remembers nothing."""
    return make()


class Weights:
    """Tensors of a checkpoint under a common prefix, cast and moved when they are asked for.

    Args:
        tensors: canonical name -> tensor; reading one may map it from disk, so each is asked for once.
        device: where the model computes.
        dtype: of activations, and of weights that are not quantised.
        bits: of the weights of linear layers, 8 or 4; 0 for those of the dtype.
        stepped: whether decode steps read them.
        prepare: what may know the tensors of layers that are rounded, and other large ones, from before.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        device: torch.device,
        dtype: torch.dtype,
        *,
        bits: int = 0,
        stepped: bool = False,
        prepare: Prepare = made_anew,
        prefix: str = "",
    ) -> None:
        self._tensors = tensors
        self.device = device
        self.dtype = dtype
        self._bits, self._stepped = bits, stepped
        self._prepare = prepare
        self._prefix = prefix

    def at(self, *path: str | int) -> Weights:
        """Return the tensors under a deeper prefix."""
        deeper = copy(self)
        deeper._prefix += "".join(f"{part}." for part in path)
        return deeper

    def has(self, name: str) -> bool:
        """Return whether there is a tensor of that name under the prefix."""
        return self._prefix + name in self._tensors

    def stored(self, name: str) -> Tensor:
        """Return the tensor as the checkpoint holds it."""
        return self._tensors[self._prefix + name]

    def tensor(self, name: str) -> Tensor:
        """Return the tensor on the device, in the compute dtype."""
        stored = self.stored(name)
        if stored.numel() < _MANY_NUMBERS or stored.dtype == self.dtype:
            return self.ready(stored)
        (prepared,) = self._prepare(f"{self._prefix}{name} {self.dtype}", lambda: [self.ready(stored)])
        return prepared

    def ready(self, tensor: Tensor) -> Tensor:
        """Move and cast a tensor to device and compute dtype, its last axis side by side in memory, without gaps."""
        return tensor.to(device=self.device, dtype=self.dtype).contiguous()  # compiled steps know no strides

    def stacked(self, tensors: Sequence[Tensor]) -> Tensor:
        """Move and cast tensors as `ready` does, one behind the other along their first axis, in one pass; a copy."""
        shape = sum(map(len, tensors)), *tensors[0].shape[1:]
        whole, filled = torch.empty(shape, device=self.device, dtype=self.dtype), 0
        for tensor in tensors:
            whole[filled : filled + len(tensor)] = tensor
            filled += len(tensor)
        return whole

    def linear(self, *names: str, sensitive: bool = False) -> Linear:
        """Return one layer that computes the layers of these names on the same input, outputs side by side.

        One that is `sensitive` is never rounded to 4 bits.
        """
        layers = [self.at(name) for name in names]
        weights, biases = ([layer.stored(part) for layer in layers] for part in ("weight", "bias"))

        def weight() -> Tensor:
            return self.stacked(weights) if not self._bits else _joined(weights)  # rounding widens few at a time

        return self.fastest("+".join(names), weight, self.stacked(biases), sensitive=sensitive)

    def summed(self, *names: str) -> LinearSum:
        """Return one layer that adds up the layers of these names, each on an input of its own."""
        layers = [self.at(name) for name in names]
        bias = torch.stack([layer.tensor("bias").float() for layer in layers]).sum(0).to(self.dtype)
        if self._bits:
            return LinearSum(_rounded(layers, bias))
        weights = [layer.ready(layer.stored("weight")) for layer in layers]
        joined = linear(torch.cat(weights, dim=1), bias)
        return LinearSum([joined], _stepped(weights, bias) if self._stepped else None)

    def fastest(
        self,
        name: str,
        weight: Callable[[], Tensor],
        bias: Tensor | None,
        *,
        sensitive: bool = False,
        stepped: bool = True,
    ) -> Linear:
        """Return a linear layer in the form that suits the device and the precision.

        Args:
            name: of the weight, under the prefix; no other has it.
            weight: makes the weight [out, in].
            bias: [out]; none if None.
            sensitive: whether it is never rounded to 4 bits.
            stepped: whether decode steps read it, if they read any of these weights.
        """
        bits = max(self._bits, 8) if self._bits and sensitive else self._bits
        stepped = stepped and self._stepped
        if not bits:
            return linear(weight(), bias, stepped=stepped)
        rounded = self._prepare(
            f"{self._prefix}{name} {bits} bits", lambda: round_weight(weight(), bits=bits, stepped=stepped)
        )
        return rounded_linear(rounded, bias, bits=bits, stepped=stepped)


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))


def _rounded(layers: Sequence[Weights], bias: Tensor) -> list[Linear]:
    """Return a rounded layer for each of these weights, the first of which adds the bias."""
    return [
        layer.fastest("weight", partial(layer.stored, "weight"), own)
        for layer, own in zip(layers, _to_the_first(bias, len(layers)), strict=True)
    ]


def _stepped(weights: Sequence[Tensor], bias: Tensor) -> list[Linear]:
    """Return a layer for each of these weights [out, in], as compiled steps read them; the first adds the bias."""
    plain = [PlainLinear(each, own) for each, own in zip(weights, _to_the_first(bias, len(weights)), strict=True)]
    return [SteppedLinear(layer, layer.weight, layer.bias) for layer in plain]


def _to_the_first(bias: Tensor, count: int) -> list[Tensor | None]:
    return [bias, *[None] * (count - 1)]


@dataclass(slots=True)
class LayerNorm:
    """Layer norm over the last axis."""

    weight: Tensor
    bias: Tensor
    eps: float

    @classmethod
    def load(cls, weights: Weights, eps: float) -> LayerNorm:
        """Load `weight` and `bias` under the prefix."""
        return cls(weights.tensor("weight"), weights.tensor("bias"), eps)

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise over the last axis; the shape stays."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


def _quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def _gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "quick_gelu": _quick_gelu,
}


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Split [B, T, H * d] into [B, H, T, d]."""
    batch, length, _ = x.shape
    return x.view(batch, length, heads, -1).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """Join [B, H, T, d] into [B, T, H * d]."""
    batch, heads, length, width = x.shape
    return x.transpose(1, 2).reshape(batch, length, heads * width)


def index_of(rows: Sequence[int]) -> slice | list[int]:
    """Return an index for these rows: a slice, which copies nothing, where they are neighbours in order."""
    first = rows[0]
    if all(row == first + offset for offset, row in enumerate(rows)):
        return slice(first, first + len(rows))
    return list(rows)
