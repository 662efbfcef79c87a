"""Weights as the compiled kernels read them: blocks of 8 outputs, whose inputs follow each other 4 by 4.

In float32, inputs follow each other one by one. Owns the layouts, and how weights become int8 and int4. Plain torch;
knows no kernels. Any thread.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK_OUTPUTS = 8
GROUP = 64  # inputs that share a scale in int4
_LEVELS = 127.0  # int8 values on either side of zero
FLOAT_BITS = 32  # of weights that are not rounded
SHRINKS = (1.0, 0.94, 0.88, 0.82, 0.76)  # of the largest weight of a group, to find the scale that loses least


@dataclass(frozen=True, slots=True)
class PackedWeights:
    """Weights of a linear layer in blocks of 8 outputs.

    Attributes:
        bits: 8, 4 or 32 for float32.
        outputs: of the layer; the last block is filled up with zeros.
        inputs: of the layer, filled up with zeros to `padded_inputs`.
        blocks: uint8 [blocks, bytes of a block]. int8: 4 inputs of each output, again and again, plus 128. int4: for
            each group its scales in bfloat16 [8], then 8 inputs of each output, again and again, plus 8: byte i of 4
            has input i in its low half and input i + 4 in its high half. float32: one input of each output, again and
            again.
        scales: of the outputs, float32 [blocks * 8]; ones in int4 and float32.
    """

    bits: int
    outputs: int
    inputs: int
    blocks: Tensor
    scales: Tensor

    @property
    def padded_inputs(self) -> int:
        """Inputs of a block."""
        return -(-self.inputs // GROUP) * GROUP


def quantised_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round weights [out, in] to int8 [out, in] with a scale for each output, float32 [out]."""
    scales = weight.float().abs().amax(dim=1).clamp(min=1e-8) / _LEVELS
    return (weight.float() / scales.unsqueeze(1)).round().to(torch.int8), scales


def pack_int8(weight: Tensor) -> PackedWeights:
    """Round weights [out, in] to int8, a scale for each output, and pack them; naive twin of `rounding`, for tests."""
    rounded, scales = quantised_int8(weight)
    padded = F.pad(rounded, padding(weight))
    raised = (padded.view(torch.uint8) ^ 128).view(-1, BLOCK_OUTPUTS, padded.shape[1] // 4, 4)
    blocks = raised.transpose(1, 2).reshape(len(raised), -1)
    return PackedWeights(8, *_sizes(weight), blocks, F.pad(scales, (0, padding(weight)[3])))


def quantised_int4(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round weights to int4 in groups along the inputs, each with the scale by which least is lost.

    Args:
        weight: [out, in], `in` a multiple of the group.

    Returns:
        Numbers from -8 to 7, int8 [out, groups, GROUP], and scales in bfloat16 [out, groups]. A scale may be negative:
        the largest weight of a group is the one that takes the eighth level, which one side alone has.
    """
    groups = weight.float().view(len(weight), -1, GROUP)
    place = groups.abs().argmax(dim=-1, keepdim=True)
    largest = groups.gather(-1, place).squeeze(-1)
    best = torch.full_like(largest, torch.inf)
    scales = torch.empty_like(largest, dtype=torch.bfloat16)
    for shrink in SHRINKS:
        tried = (largest * (shrink / -8)).to(torch.bfloat16)
        lost = (_rounded(groups, tried) * tried.float().unsqueeze(-1) - groups).square().sum(-1)
        scales = torch.where(lost < best, tried, scales)
        best = torch.minimum(lost, best)
    return _rounded(groups, scales).to(torch.int8), scales


def _rounded(groups: Tensor, scales: Tensor) -> Tensor:
    wide = scales.float().unsqueeze(-1)
    return (groups / torch.where(wide == 0, 1.0, wide)).round_().clamp_(-8, 7)


def pack_int4(weight: Tensor) -> PackedWeights:
    """Round weights [out, in] to int4 in groups, and pack them; naive twin of `rounding`, for tests."""
    padded = F.pad(weight, padding(weight))
    parts = [_int4_blocks(part) for part in torch.split(padded, 1024)]  # few at a time: rounding works in float32
    scales = torch.ones(len(padded), dtype=torch.float32)
    return PackedWeights(4, *_sizes(weight), torch.cat(parts), scales)


def _int4_blocks(weight: Tensor) -> Tensor:
    """Pack weights [8 * blocks, in] -> uint8 [blocks, bytes of a block]."""
    rounded, scales = quantised_int4(weight)
    outputs, groups, _ = rounded.shape
    raised = (rounded + 8).to(torch.uint8).view(outputs // BLOCK_OUTPUTS, BLOCK_OUTPUTS, groups, GROUP // 8, 2, 4)
    nibbles = raised[..., 0, :] | (raised[..., 1, :] << 4)  # [blocks, 8, groups, GROUP / 8, 4]
    nibbles = nibbles.permute(0, 2, 3, 1, 4).reshape(outputs // BLOCK_OUTPUTS, groups, -1)
    of_groups = scales.view(-1, BLOCK_OUTPUTS, groups).transpose(1, 2).contiguous().view(torch.uint8)
    return torch.cat([of_groups, nibbles], dim=-1).flatten(1)


def pack_floats(weight: Tensor) -> PackedWeights:
    """Lay out weights [out, in] as they are, in float32."""
    padded = F.pad(weight.float(), padding(weight))
    blocks = padded.view(-1, BLOCK_OUTPUTS, padded.shape[1]).transpose(1, 2).flatten(1)
    return PackedWeights(FLOAT_BITS, *_sizes(weight), blocks.view(torch.uint8), torch.ones(len(padded)))


def unpacked(packed: PackedWeights) -> Tensor:
    """Return the weights that packed ones stand for, float32 [out, in]; for tests."""
    count = len(packed.blocks)
    if packed.bits == FLOAT_BITS:
        wide = packed.blocks.view(torch.float32).view(count, -1, BLOCK_OUTPUTS).transpose(1, 2).flatten(0, 1)
    elif packed.bits == 8:
        raised = packed.blocks.view(count, -1, BLOCK_OUTPUTS, 4).transpose(1, 2).reshape(count * BLOCK_OUTPUTS, -1)
        wide = (raised.float() - 128) * packed.scales.unsqueeze(1)
    else:
        parts = packed.blocks.view(count, packed.padded_inputs // GROUP, -1)
        scales = parts[..., : 2 * BLOCK_OUTPUTS].contiguous().view(torch.bfloat16)  # [blocks, groups, 8]
        nibbles = parts[..., 2 * BLOCK_OUTPUTS :].reshape(count, parts.shape[1], GROUP // 8, BLOCK_OUTPUTS, 4)
        both = torch.stack([nibbles & 15, nibbles >> 4], dim=-2)  # [blocks, groups, GROUP / 8, 8, 2, 4]
        numbers = both.permute(0, 3, 1, 2, 4, 5).reshape(count, BLOCK_OUTPUTS, parts.shape[1], GROUP).float() - 8
        wide = (numbers * scales.transpose(1, 2).float().unsqueeze(-1)).view(count * BLOCK_OUTPUTS, -1)
    return wide[: packed.outputs, : packed.inputs]


def _sizes(weight: Tensor) -> tuple[int, int]:
    outputs, inputs = weight.shape
    return outputs, inputs


def padding(weight: Tensor) -> tuple[int, int, int, int]:
    """Return what `pad` adds to weights [out, in] for whole blocks and groups."""
    outputs, inputs = weight.shape
    return 0, -inputs % GROUP, 0, -outputs % BLOCK_OUTPUTS
