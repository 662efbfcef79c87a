"""Linear layer in int8 by oneDNN, with sums in int32, and the rounding of its weights.

The weights of a row or two of a decode step are better read by `compiled`. Knows nothing of Pheye. Inference only. One
thread at a time (the engine's).
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

LEVELS = 127  # int8 values on either side of zero
_EXACT_LEVELS = 64  # of weights where two products are added in 16 bits: 2 * 255 * 64 is less than 2**15
_FEW_NUMBERS = 1 << 18  # of an input: what its passes cost is mostly their number
_MIDDLE = 128  # what stands for zero in the unsigned bytes that the processor's int8 instructions take


class Int8Linear:
    """Linear layer in int8 with sums in int32: a scale for each output channel, and one for each row of the input.

    A row's scale depends on that row alone and integer sums are exact: this layer computes a row alike alone and in a
    batch. Weights have 7 bits instead of 8 on processors whose sums would not be exact otherwise.

    Args:
        rounded: weights as `round_int8` gives them, int8 [out, in].
        scales: likewise, float32 [out].
        bias: [out]; none if None.
    """

    def __init__(self, rounded: Tensor, scales: Tensor, bias: Tensor | None) -> None:
        self._weight = torch.ops.onednn.qlinear_prepack(rounded, None)
        self._scales = scales
        self._zeros = torch.zeros(len(scales), dtype=torch.int32)
        self._bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        """Map inputs [..., in] to outputs [..., out]."""
        bytes_, scales = _quantised(x.reshape(-1, x.shape[-1]).float())
        out = _int8_product(bytes_, self._weight, self._scales, self._zeros)
        if self._bias is None:
            out.mul_(scales)
        else:
            torch.addcmul(self._bias, out, scales, out=out)
        return out.view(*x.shape[:-1], -1).to(x.dtype)


def round_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round weights [out, in] to int8 [out, in] with a scale for each output, float32 [out], for `Int8Linear`."""
    rounded, scales = torch.empty(weight.shape, dtype=torch.int8), torch.empty(len(weight))
    few = max(1, _FEW_NUMBERS // weight.shape[1])  # outputs at a time, so that passes over them stay in a cache
    for part in (slice(start, start + few) for start in range(0, len(weight), few)):
        wide = weight[part].float()
        scales[part] = _largest(wide).squeeze(1).clamp_(min=1e-8).div_(weight_levels())
        rounded[part] = (wide / scales[part].unsqueeze(1)).round_()
    return rounded, scales


def _quantised(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Round each row [rows, in] to bytes of a scale of its own; return them and the scales [rows, 1].

    Torch turns numbers into signed bytes four times as fast as into unsigned ones, and the other highest bit adds 128.
    """
    scales = _largest(rows).clamp_(min=1e-8).div_(LEVELS)
    return (rows / scales).round_().to(torch.int8).view(torch.uint8).bitwise_xor_(_MIDDLE), scales


def _largest(rows: Tensor) -> Tensor:
    """Return each row's largest absolute value [rows, 1]; what is no number stays none."""
    if rows.numel() < _FEW_NUMBERS:
        return rows.abs().amax(dim=1, keepdim=True)
    return torch.maximum(rows.amax(dim=1, keepdim=True), rows.amin(dim=1, keepdim=True).neg_())


@cache
def weight_levels() -> int:
    """Return how many int8 values on either side of zero weights may take for this processor's sums to be exact.

    Processors without instructions made for int8 (AVX-512 VNNI, AVX-VNNI and later) add pairs of products in 16 bits,
    which saturate without a word. A product that would saturate is tried once, as oneDNN alone knows what it runs.
    """
    inputs, rows = 64, 2
    weight = torch.full((inputs, inputs), LEVELS, dtype=torch.int8)
    bytes_ = torch.full((rows, inputs), 255, dtype=torch.uint8)
    packed = torch.ops.onednn.qlinear_prepack(weight, None)
    sums = _int8_product(bytes_, packed, torch.ones(inputs), torch.zeros(inputs, dtype=torch.int32))
    return LEVELS if bool((sums == inputs * LEVELS * (255 - _MIDDLE)).all()) else _EXACT_LEVELS


def _int8_product(bytes_: Tensor, weight: Tensor, scales: Tensor, zeros: Tensor) -> Tensor:
    """Multiply uint8 rows, whose zero is the middle byte, with packed int8 weights [out, in] of these scales [out]."""
    out: Tensor = torch.ops.onednn.qlinear_pointwise(
        bytes_, 1.0, _MIDDLE, weight, scales, zeros, None, 1.0, 0, torch.float32, "none", [], ""
    )
    return out
