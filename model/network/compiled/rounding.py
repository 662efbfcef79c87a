"""Rounding of weights to int8 and int4 and their packing, compiled: what `packing` says in torch, many times as fast.

Called by `linear` while a model is loaded.
"""

# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, attr-defined"
from __future__ import annotations

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numba import carray
from torch import Tensor

from model.network.compiled.compilation.jit import compiled, entry, in_any_order, of_numbers
from model.network.compiled.loops.numbers import bits_of, bytes_at, float_of, floats_at, nearest, words_at
from model.network.compiled.loops.rows import sum_of
from model.network.compiled.packing import BLOCK_OUTPUTS, GROUP, SHRINKS, PackedWeights, padding
from model.network.compiled.products import share
from model.network.compiled.threads import Crew

_FEW_NUMBERS = 1 << 20  # widened to float32 at a time: fresh memory for all of them would take longer than they do
_SCALE_BYTES = 2 * BLOCK_OUTPUTS
_GROUP_BYTES = _SCALE_BYTES + BLOCK_OUTPUTS * GROUP // 2
_NOT_A_NUMBER = np.uint32(0x7FC0)  # in bfloat16
_FACTORS = np.array([shrink / -8 for shrink in SHRINKS], dtype=np.float32)


@of_numbers
def _largest(x):
    """Return the largest size."""
    largest = np.float32(0)
    for i in range(len(x)):
        largest = abs(x[i]) if abs(x[i]) > largest else largest
    return largest


@entry("(int64, int64, int64, int64, int64, int64, int64)")
def pack_bytes(weights, inputs, blocks, scales, count, thread, threads):
    """Round this thread's share of blocks of weights to int8; float32 [8 * count, inputs] at `weights`."""
    levels = np.empty(inputs, dtype=np.uint8)
    for block in range(share(count, thread, threads), share(count, thread + 1, threads)):
        packed = carray(bytes_at(blocks + block * BLOCK_OUTPUTS * inputs), (BLOCK_OUTPUTS * inputs,))
        for output in range(BLOCK_OUTPUTS):
            row = block * BLOCK_OUTPUTS + output
            x = carray(floats_at(weights + row * inputs * 4), (inputs,))
            finite = np.isfinite(sum_of(x, np.float32(0)))
            scale = max(_largest(x) if finite else np.float32(0), np.float32(1e-8)) / np.float32(127)
            carray(floats_at(scales + row * 4), (1,))[0] = scale if finite else np.float32(np.nan)
            for i in range(inputs):
                levels[i] = np.uint8(np.int32(nearest(x[i] / scale)) + 128)
            for four in range(inputs // 4):
                for i in range(4):
                    packed[(four * BLOCK_OUTPUTS + output) * 4 + i] = np.int8(levels[4 * four + i])


@in_any_order
def _lost(x, scale):
    """Return the squared loss of a group that is rounded with this scale."""
    total = np.float32(0)
    for i in range(GROUP):
        level = min(max(nearest(x[i] / scale), np.float32(-8)), np.float32(7))
        total += (level * scale - x[i]) * (level * scale - x[i])
    return total


@compiled
def _best_scale(x):
    """Return the scale in bfloat16, as its bits, by which a group loses least."""
    largest = x[0]
    for i in range(1, GROUP):
        largest = x[i] if abs(x[i]) > abs(largest) else largest
    best, least = np.uint32(0), np.float32(np.inf)
    for factor in _FACTORS:
        bits = bits_of(largest * factor)
        short = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
        scale = float_of(np.uint32(short << np.uint32(16)))
        lost = _lost(x, scale) if scale != 0 else np.float32(0)
        if lost < least:
            best, least = short, lost
    return best


@entry("(int64, int64, int64, int64, int64, int64)")
def pack(weights, inputs, blocks, count, thread, threads):
    """Round and pack this thread's share of blocks of weights, float32 [8 * count, inputs] at `weights`."""
    groups = inputs // GROUP
    levels = np.empty(GROUP, dtype=np.uint8)
    for item in range(share(count * groups, thread, threads), share(count * groups, thread + 1, threads)):
        block, group = item // groups, item % groups
        place = blocks + item * _GROUP_BYTES
        scales = carray(words_at(place), (BLOCK_OUTPUTS,))
        nibbles = carray(bytes_at(place + _SCALE_BYTES), (BLOCK_OUTPUTS * GROUP // 2,))
        for output in range(BLOCK_OUTPUTS):
            x = carray(floats_at(weights + ((block * BLOCK_OUTPUTS + output) * inputs + group * GROUP) * 4), (GROUP,))
            bits = _best_scale(x) if np.isfinite(sum_of(x, np.float32(0))) else _NOT_A_NUMBER
            scales[output] = np.uint16(bits)
            scale = float_of(np.uint32(bits << np.uint32(16)))
            scale = scale if scale != 0 else np.float32(1)
            for i in range(GROUP):
                levels[i] = np.uint8(np.int32(min(max(nearest(x[i] / scale), np.float32(-8)), np.float32(7))) + 8)
            for eight in range(GROUP // 8):
                for i in range(4):
                    both = levels[8 * eight + i] | (levels[8 * eight + 4 + i] << np.uint8(4))
                    nibbles[(eight * BLOCK_OUTPUTS + output) * 4 + i] = np.int8(both)


def pack_int8_fast(weight: Tensor, crew: Crew) -> PackedWeights:
    """Round weights [out, in] to int8 and pack them, as `packing.pack_int8` does."""
    outputs, inputs = weight.shape
    _, more_inputs, _, more_outputs = padding(weight)
    rows, width = outputs + more_outputs, inputs + more_inputs
    blocks = torch.empty(rows // BLOCK_OUTPUTS, BLOCK_OUTPUTS * width, dtype=torch.uint8)
    scales = torch.empty(rows)
    few = max(1, _FEW_NUMBERS // blocks.shape[1]) * BLOCK_OUTPUTS
    for start in range(0, rows, few):
        part = _padded(weight[start : start + few])
        places = part.data_ptr(), width, blocks[start // BLOCK_OUTPUTS].data_ptr(), scales[start:].data_ptr()
        crew.run(partial(_pack_share, places, len(part) // BLOCK_OUTPUTS, crew.size))
    return PackedWeights(8, outputs, inputs, blocks, scales)


def _pack_share(places: tuple[int, ...], count: int, threads: int, thread: int) -> None:
    pack_bytes.ready(*places, count, thread, threads)


def pack_int4_fast(weight: Tensor, crew: Crew) -> PackedWeights:
    """Round weights [out, in] to int4 in groups, and pack them, as `packing.pack_int4` does."""
    outputs, inputs = weight.shape
    padded = _padded(weight)
    count = len(padded) // BLOCK_OUTPUTS
    blocks = torch.empty(count, padded.shape[1] // GROUP * _GROUP_BYTES, dtype=torch.uint8)
    ready = pack.ready
    crew.run(lambda thread: ready(padded.data_ptr(), padded.shape[1], blocks.data_ptr(), count, thread, crew.size))
    return PackedWeights(4, outputs, inputs, blocks, torch.ones(len(padded)))


def _padded(weight: Tensor) -> Tensor:
    """Return weights in float32, filled up to whole blocks and groups; themselves if they are both already."""
    missing = padding(weight)
    return (F.pad(weight.float(), missing) if any(missing) else weight.float()).contiguous()
