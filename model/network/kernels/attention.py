"""Attention of one query per row, split over the tokens of its slot and combined by log-sum-exp (flash-decoding).

Up to 16 queries of one slot are multiplied together. Called by the engine's thread only.
"""

# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# Kernel arguments have no types that mypy knows; only those that the Triton compiler reads are annotated.

from __future__ import annotations

from torch import Tensor

from model.network.kernels.combine import LEAST_CHUNK, Scratch, chunk_of, combine, length_of
from model.network.kernels.early import launch_options, wait_for_inputs
from model.network.kernels.groups import ROWS_OF_GROUP, DecodeGroups
from model.network.kernels.triton_import import DOT_TYPES, LOG2_E, jit, tl, triton

PROGRAMS_PER_PROCESSOR = 4  # that are resident together on an H100, by their shared memory
_TILE_BYTES = 8192  # of keys, and as many of values, that a program has in flight for each stage of its pipeline


def _tokens_of_tile(padded_width: int, item_bytes: int) -> int:
    """Return the number of tokens that a program reads together; a power of two."""
    return max(16, min(64, _TILE_BYTES // (padded_width * item_bytes)))


def decode_attention(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    groups: DecodeGroups,
    lengths: Tensor | None,
    scale: float,
    out: Tensor,
    splits: int,
) -> None:
    """Launch the attention of one query per row; see `model.network.decode.attention.decode_attention`."""
    width = q.shape[2]
    padded = max(16, triton.next_power_of_2(width))
    scratch = Scratch.of(out, splits)
    table, most = groups.slot if lengths is None else lengths, keys.shape[2]
    strides = (*q.stride()[:2], *keys.stride()[:3], *values.stride()[:3], *out.stride()[:2])
    _attend[(q.shape[1], len(groups.slot), splits)](
        q, keys, values, out, scratch.parts, scratch.sums, groups.slot, groups.rows, table, most, scale * LOG2_E,
        *strides, WIDTH=width, PADDED=padded, LEAST=LEAST_CHUNK, BY_SLOT=lengths is not None,
        ROWS=ROWS_OF_GROUP, TOKENS=_tokens_of_tile(padded, q.element_size()), SPLIT=splits > 1,
        DOT=DOT_TYPES[q.dtype], num_warps=4, num_stages=3, **launch_options(q.device),
    )  # fmt: skip
    if splits > 1:
        combine(scratch, out, groups.row_slot, lengths, most)


@jit
def _attend(
    q, keys, values, out, parts, sums, group_slot, group_rows, lengths, most, scale,
    q_row, q_head, k_slot, k_head, k_token, v_slot, v_head, v_token, out_row, out_head,
    WIDTH: tl.constexpr, PADDED: tl.constexpr, LEAST: tl.constexpr, BY_SLOT: tl.constexpr,
    ROWS: tl.constexpr, TOKENS: tl.constexpr, SPLIT: tl.constexpr, DOT: tl.constexpr,
    EARLY: tl.constexpr,
):  # fmt: skip
    """Attend with one head of a group of rows to one split of their slot; softmax as it goes, in base 2."""
    wait_for_inputs(EARLY)
    head = tl.program_id(0).to(tl.int64)
    group = tl.program_id(1)
    split = tl.program_id(2)
    slot = tl.load(group_slot + group)
    length = length_of(slot, lengths, most, BY_SLOT)
    start = 0
    end = length
    if SPLIT:
        chunk = chunk_of(length, tl.num_programs(2), LEAST)
        start = split * chunk
        end = tl.minimum(start + chunk, length)
        if start >= length:
            return
    rows = tl.load(group_rows + group * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    channels = tl.arange(0, PADDED)
    tokens = start + tl.arange(0, TOKENS)
    wanted = (rows >= 0)[:, None] & (channels < WIDTH)[None, :]
    query = tl.load(q + rows[:, None] * q_row + head * q_head + channels[None, :], mask=wanted, other=0.0).to(DOT)
    # Slots are counted in 64 bits: all of them together may have more than 2**31 numbers.
    here = slot.to(tl.int64)
    k_at = keys + here * k_slot + head * k_head + tokens.to(tl.int64)[:, None] * k_token + channels[None, :]
    v_at = values + here * v_slot + head * v_head + tokens.to(tl.int64)[:, None] * v_token + channels[None, :]
    best = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    seen = tl.zeros([ROWS, PADDED], tl.float32)
    for first in range(start, end, TOKENS):
        # Positions beyond the length are not read: an earlier owner of the slot may have left a NaN there.
        left = end - first
        filled = tl.arange(0, TOKENS) < left
        read = filled[:, None] & (channels < WIDTH)[None, :]
        k = tl.load(k_at, mask=read, other=0.0)
        v = tl.load(v_at, mask=read, other=0.0)
        scores = tl.dot(query, tl.trans(k.to(DOT)), input_precision="ieee") * scale
        scores = tl.where(filled[None, :], scores, float("-inf"))
        top = tl.maximum(best, tl.max(scores, 1))
        weights = tl.exp2(scores - top[:, None])
        fade = tl.exp2(best - top)
        total = total * fade + tl.sum(weights, 1)
        seen = tl.dot(weights.to(DOT), v.to(DOT), seen * fade[:, None], input_precision="ieee")
        best = top
        k_at += TOKENS * k_token
        v_at += TOKENS * v_token
    total = tl.where(length > 0, total, 1.0)
    seen = seen / total[:, None]
    if SPLIT:
        place = (rows * tl.num_programs(0) + head) * tl.num_programs(2) + split
        tl.store(parts + place[:, None] * WIDTH + channels[None, :], seen, mask=wanted)
        tl.store(sums + place, best + tl.log2(total), mask=rows >= 0)
    else:
        at = out + rows[:, None] * out_row + head * out_head + channels[None, :]
        tl.store(at, seen.to(out.dtype.element_ty), mask=wanted)
