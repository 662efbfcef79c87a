"""Splits of a slot over programs (flash-decoding), and the join of their results by their shares of the softmax.

Called by the engine's thread only.
"""

# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# Kernel arguments have no types that mypy knows; only those that the Triton compiler reads are annotated.

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from model.network.kernels.early import launch_options, wait_for_inputs
from model.network.kernels.triton_import import jit, tl, triton

LEAST_CHUNK = 64  # tokens; a shorter part of a slot is not worth a program of its own
MOST_SPLITS = 32  # a power of two
_CHANNELS = 128  # at most, that one program joins


def splits_of(programs: int, tokens: int, resident: int) -> int:
    """Return the number of splits of each slot, so that few rows fill the device too; from fixed sizes only.

    Args:
        programs: how many there are without splits.
        tokens: of a slot, at most.
        resident: programs that the device runs together.
    """
    return max(1, min(resident // programs, -(-tokens // LEAST_CHUNK), MOST_SPLITS))


@dataclass(frozen=True, slots=True)
class Scratch:
    """Partial results of programs, one for each split.

    Attributes:
        parts: attention over one split alone, float32 [B, H, splits, d].
        sums: logarithm to base 2 of the sum of its weights [B, H, splits].
    """

    parts: Tensor
    sums: Tensor

    @classmethod
    def of(cls, out: Tensor, splits: int) -> Scratch:
        """Allocate for a result [B, H, d]; next to nothing without splits."""
        batch, heads, width = out.shape if splits > 1 else (1, 1, 1)
        sizes = ((batch, heads, splits, width), (batch, heads, splits))
        return cls(*(torch.empty(size, dtype=torch.float32, device=out.device) for size in sizes))


def combine(scratch: Scratch, out: Tensor, row_slot: Tensor, lengths: Tensor | None, most: int) -> None:
    """Launch the join into a result [B, H, d]; rows without a slot, or with an empty one, get zeros.

    Args:
        scratch: what there is to join.
        out: where to write.
        row_slot: slot of each row, -1 for none.
        lengths: tokens of each slot; None if all have `most`.
        most: tokens that a slot has room for.
    """
    batch, heads, width = out.shape
    padded = min(_CHANNELS, triton.next_power_of_2(width))
    _combine[(heads, batch, triton.cdiv(width, padded))](
        scratch.parts, scratch.sums, out, row_slot, row_slot if lengths is None else lengths, most,
        scratch.sums.shape[2], *out.stride()[:2], WIDTH=width, PADDED=padded, LEAST=LEAST_CHUNK,
        BY_SLOT=lengths is not None, SPLITS=MOST_SPLITS,
        num_warps=4, **launch_options(out.device),
    )  # fmt: skip


@jit
def length_of(slot, lengths, most, BY_SLOT: tl.constexpr):
    """Return the number of tokens of a slot, `most` at most; 0 where there is no slot."""
    length = most
    if BY_SLOT:
        length = tl.minimum(tl.load(lengths + tl.maximum(slot, 0)).to(tl.int32), most)
    return tl.where(slot < 0, 0, length)


@jit
def chunk_of(length, splits, LEAST: tl.constexpr):
    """Return the number of tokens of one split; the last splits may have none."""
    return tl.maximum((length + splits - 1) // splits, LEAST)


@jit
def _combine(
    parts, sums, out, row_slot, lengths, most, splits, out_row, out_head,
    WIDTH: tl.constexpr, PADDED: tl.constexpr, LEAST: tl.constexpr, BY_SLOT: tl.constexpr, SPLITS: tl.constexpr,
    EARLY: tl.constexpr,
):  # fmt: skip
    """Join some channels of one head of one row."""
    wait_for_inputs(EARLY)
    head = tl.program_id(0).to(tl.int64)
    row = tl.program_id(1).to(tl.int64)
    length = length_of(tl.load(row_slot + row), lengths, most, BY_SLOT)
    chunk = chunk_of(length, splits, LEAST)
    index = tl.arange(0, SPLITS)
    channels = tl.program_id(2) * PADDED + tl.arange(0, PADDED)
    used = index < (length + chunk - 1) // chunk
    place = (row * tl.num_programs(0) + head) * splits + index
    logs = tl.load(sums + place, mask=used, other=float("-inf"))
    top = tl.where(length > 0, tl.max(logs, 0), 0.0)
    weights = tl.where(used, tl.exp2(logs - top), 0.0)
    total = tl.where(length > 0, tl.sum(weights, 0), 1.0)
    read = used[:, None] & (channels < WIDTH)[None, :]
    seen = tl.load(parts + place[:, None] * WIDTH + channels[None, :], mask=read, other=0.0)
    joined = tl.sum(seen * weights[:, None], 0) / total
    at = out + row * out_row + head * out_head + channels
    tl.store(at, joined.to(out.dtype.element_ty), mask=channels < WIDTH)
