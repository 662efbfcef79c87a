"""Linear layers in the form in which a device multiplies them fastest: plain, packed for CPUs, int8 or int4.

Owns how weights are stored once they are loaded; knows nothing of Pheye. All forms take any leading axes and keep the
dtype of their input. Inference only. One thread at a time (the engine's).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from model.network.compiled import available
from model.network.compiled.packing import quantised_int8

_ROWS = 257  # of the input that weights are laid out for; this layout was also the fastest for a single row
# What stands for zero in the unsigned bytes that the processor's int8 instructions take, and as many less one are on
# either side of it. Without an instruction that is exact, oneDNN adds two products in 16 bits: seven bits fit there.
_MIDDLE = 128 if available.multiplies_bytes() else 64


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
        self._bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        """Map inputs [..., in] to outputs [..., out]."""
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "none", [], "")
        return out


class Int8Linear:
    """Linear layer in int8 with sums in int32: a scale for each output channel, and one for each row of the input.

    A row's scale depends on that row alone and integer sums are exact: this layer computes a row alike alone and in a
    batch.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        rounded, scales = quantised_int8(weight)
        self._weight = torch.ops.onednn.qlinear_prepack(rounded, None)
        self._scales = scales
        self._zeros = torch.zeros(len(scales), dtype=torch.int32)
        self._bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        """Map inputs [..., in] to outputs [..., out]."""
        rows = x.reshape(-1, x.shape[-1]).float()
        scales = rows.abs().amax(dim=1, keepdim=True).clamp(min=1e-8) / (_MIDDLE - 1)  # [rows, 1]
        bytes_ = (rows / scales).round_().add_(_MIDDLE).to(torch.uint8)
        out: Tensor = torch.ops.onednn.qlinear_pointwise(
            bytes_, 1.0, _MIDDLE, self._weight, self._scales, self._zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )
        out.mul_(scales)
        if self._bias is not None:
            out.add_(self._bias)
        return out.view(*x.shape[:-1], -1).to(x.dtype)


class LinearSum:
    """Sum of several linear layers, each on an input of its own: y = x1 W1^T + x2 W2^T + ... + b.

    One product over the inputs side by side, which needs no addition afterwards. Not in int8 or int4: one scale for
    inputs of different sizes would cost the smaller one its precision, so there each layer multiplies by itself.
    """

    def __init__(self, weights: Sequence[Tensor], bias: Tensor, *, bits: int = 0, stepped: bool = False) -> None:
        self.layers = (
            [
                linear(weight, None if place else bias, bits=bits, stepped=stepped)
                for place, weight in enumerate(weights)
            ]
            if bits
            else [linear(torch.cat(list(weights), dim=1), bias)]
        )

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
        stepped: whether a decode step multiplies a row or two by it, for which compiled kernels are the fastest.

    Raises:
        RuntimeError: 4 bits without numba, which compiles the kernels for them.
    """
    if not bits:
        return PackedLinear(weight, bias) if packs(weight.device, weight.dtype) else PlainLinear(weight, bias)
    if not available.installed():
        if bits == 4:
            raise RuntimeError(f"int4 needs numba: {available.INSTALL}")
        return Int8Linear(weight, bias)
    if bits == 8 and available.multiplies_bytes() and not stepped:
        return Int8Linear(weight, bias)
    from model.network.compiled.linear import CompiledLinear, crew
    from model.network.compiled.rounding import pack_int4_fast, pack_int8_fast

    if bits == 4:
        return CompiledLinear(pack_int4_fast(weight, crew()), bias)
    of_many = Int8Linear(weight, bias) if available.multiplies_bytes() else None
    # Many rows are oneDNN's, if it is good at them: such a layer is held twice.
    return CompiledLinear(pack_int8_fast(weight, crew()), bias, of_many)


def packs(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether oneDNN packs and multiplies this dtype on this device."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32
