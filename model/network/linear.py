"""Linear layers in the form in which a device multiplies them fastest: plain, packed for CPUs, int8 or int4.

Owns how weights are stored once they are loaded; knows nothing of Pheye. All forms take any leading axes and keep the
dtype of their input. Inference only. One thread at a time (the engine's).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from model.network.compiled.compilation import available
from model.network.int8_linear import LEVELS, Int8Linear, round_int8, weight_levels

if TYPE_CHECKING:
    from model.network.compiled.linear import CompiledLinear

_SMALL = 1 << 18  # weights of a matrix that stays in a core's cache, for which calls count and layouts do not
_ROWS = 257  # of the input that weights are laid out for; this layout was also the fastest for a single row


class Linear(Protocol):
    """Linear layer y = x W^T + b, W [out, in]."""

    def __call__(self, x: Tensor) -> Tensor:
        """Map inputs [..., in] to outputs [..., out]."""


@dataclass(slots=True)
class PlainLinear:
    """Linear layer in plain torch."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        """Map inputs [..., in] to outputs [..., out]."""
        return F.linear(x, self.weight, self.bias)


class PackedLinear:
    """Linear layer whose weights were reordered once into oneDNN's blocked layout, for CPUs.

    The plain layer goes through a BLAS that reorders anew for every product and, on processors not its maker's own,
    leaves half of the vector width unused.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _ROWS)
        self.bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        """Map inputs [..., in] to outputs [..., out]."""
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self.bias, "none", [], "")
        return out

    @property
    def weight(self) -> Tensor:
        """Return a copy of the weight [out, in] as it was given, to the last bit."""
        plain: Tensor = self._weight.to_dense()
        return plain


@dataclass(slots=True)
class SteppedLinear:
    """Linear layer of a small model in float32: torch's, and the weights once more for compiled decode steps.

    Attributes:
        many: what computes it for rows outside of those steps.
        weight: float32 [out, in].
        bias: [out]; none if None.
    """

    many: Linear
    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        """Map inputs [..., in] to outputs [..., out]."""
        return self.many(x)

    def compiled(self) -> CompiledLinear:
        """Return the layer by the compiled kernels, which importing takes half a second the first time."""
        from model.network.compiled.linear import CompiledLinear
        from model.network.compiled.packing import pack_floats

        return CompiledLinear(pack_floats(self.weight), self.bias)


class LinearSum:
    """Sum of several linear layers, each on an input of its own: y = x1 W1^T + x2 W2^T + ... + b.

    One product over the inputs side by side, which needs no addition afterwards. Not in int8 or int4: one scale for
    inputs of different sizes would cost the smaller one its precision, so there each layer multiplies by itself.

    Args:
        layers: one over the inputs side by side, or one for each.
        separate: what compiled steps read, which know no joined inputs; None for `layers`.
    """

    def __init__(self, layers: Sequence[Linear], separate: Sequence[Linear] | None = None) -> None:
        self.layers = layers
        self.separate = layers if separate is None else separate

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Map one input [..., in] for each layer to outputs [..., out]."""
        if len(self.layers) == 1:
            return self.layers[0](torch.cat(inputs, dim=-1))
        first, *others = (layer(x) for layer, x in zip(self.layers, inputs, strict=True))
        for other in others:
            first.add_(other)
        return first

    @property
    def joined(self) -> Linear:
        """Return the layer over inputs that lie side by side already [..., in1 + in2 + ...]; there is none in int8."""
        (layer,) = self.layers
        return layer


def linear(weight: Tensor, bias: Tensor | None, *, bits: int = 0, stepped: bool = False) -> Linear:
    """Build the fastest form for the device and dtype that the weight [out, in] is on.

    Args:
        weight: [out, in].
        bias: [out]; none if None.
        bits: of the weights: 8 or 4, on CPUs alone; 0 for those of the dtype.
        stepped: whether compiled decode steps multiply a row or two by it.

    Raises:
        ValueError: 4 bits without a numba that can be used, which compiles the kernels for them.
    """
    if bits:
        return rounded_linear(round_weight(weight, bits=bits, stepped=stepped), bias, bits=bits, stepped=stepped)
    is_packed = packs(weight.device, weight.dtype) and not _better_plain(weight)
    many = PackedLinear(weight, bias) if is_packed else PlainLinear(weight.contiguous(), bias)
    return SteppedLinear(many, weight, bias) if stepped else many


def round_weight(weight: Tensor, *, bits: int, stepped: bool) -> tuple[Tensor, ...]:
    """Round a weight [out, in] for `rounded_linear`, which knows what the tensors are; they are plain ones, on a CPU.

    Raises:
        ValueError: as `linear`.
    """
    if not _is_compiled(bits, stepped=stepped):
        return round_int8(weight)
    from model.network.compiled.linear import crew
    from model.network.compiled.rounding import pack_int4_fast, pack_int8_fast

    packed = (pack_int4_fast if bits == 4 else pack_int8_fast)(weight, crew())
    of_many = round_int8(weight) if _is_held_twice(bits) else ()
    return packed.blocks, packed.scales, torch.tensor([packed.outputs, packed.inputs]), *of_many


def rounded_linear(rounded: Sequence[Tensor], bias: Tensor | None, *, bits: int, stepped: bool) -> Linear:
    """Build a layer from what `round_weight` made of its weight, on this machine and with the same words."""
    if not _is_compiled(bits, stepped=stepped):
        weight, scales = rounded
        return Int8Linear(weight, scales, bias)
    from model.network.compiled.linear import CompiledLinear
    from model.network.compiled.packing import PackedWeights

    blocks, scales, (outputs, inputs), *twice = rounded
    of_many = Int8Linear(twice[0], twice[1], bias) if twice else None
    return CompiledLinear(PackedWeights(bits, int(outputs), int(inputs), blocks, scales), bias, of_many)


def rounding_here() -> str:
    """Name what the tensors of `round_weight` depend on beside the weight: this processor, and what is installed."""
    return f"levels {weight_levels()}, compiled {available.usable()}, held twice {_is_held_twice(8)}"


def _is_compiled(bits: int, *, stepped: bool) -> bool:
    if bits == 4 and not available.usable():
        raise ValueError(f"int4 needs a numba that can be used: {available.INSTALL}")
    return bits == 4 or (stepped and available.usable())


def _is_held_twice(bits: int) -> bool:
    """Return whether many rows are oneDNN's, which is good at int8 here: a compiled layer is held in both forms."""
    return bits == 8 and available.multiplies_bytes()


def _better_plain(weight: Tensor) -> bool:
    """Return whether torch's own BLAS is the faster one: for small float32 matrices on processors without AVX-512.

    There it uses all of the vector width, and a call costs it a third of what it costs oneDNN.
    """
    is_small = weight.dtype == torch.float32 and weight.numel() <= _SMALL
    return is_small and torch.backends.cpu.get_cpu_capability() == "AVX2"


def repacks(layer: Linear) -> bool:
    """Return whether each product lays this layer's weights out anew, so that many rows at once pay.

    oneDNN does so with int8 weights on processors without instructions for them.
    """
    return isinstance(layer, Int8Linear) and weight_levels() < LEVELS


def packs(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether oneDNN packs and multiplies this dtype on this device."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32
