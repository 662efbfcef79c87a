"""Attention and KV cache append for one new token per row: Triton kernels on CUDA, their naive twins elsewhere.

On CUDA everything can be captured in a CUDA graph: no call waits for the device, and what differs from step to step
(slots, lengths, positions) is read from tensors of a fixed size. Knows no models. Called by the engine's thread only.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from model.network.decode import reference
from model.network.kernels import absorbed, append, attention, triton_import
from model.network.kernels.combine import splits_of
from model.network.kernels.groups import DecodeGroups


def available(device: torch.device) -> bool:
    """Return whether the Triton kernels run here: on NVIDIA's Ampere and later, or wherever Triton interprets them."""
    if not triton_import.INSTALLED:
        return False
    return triton_import.INTERPRETED or (device.type == "cuda" and _properties(device).major >= 8)


def decode_attention(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    groups: DecodeGroups,
    lengths: Tensor | int,
    scale: float,
    out: Tensor | None = None,
    splits: int | None = None,
) -> Tensor:
    """Compute attention of one query per row over the tokens of its slot; self- and cross-attention alike.

    Keys and values are read where they are, once for each group, and only as far as they are filled.

    Args:
        q: queries [B, H, d].
        keys: of every slot [slots, H, L, d]; any strides, but the last axis must be contiguous.
        values: likewise.
        groups: which rows attend to which slot.
        lengths: tokens of each slot, int32 [slots], L at most (more are taken for L); or how many all slots have.
        scale: of the scores, before softmax.
        out: where to write; neither rows nor heads need be neighbours in memory.
        splits: parts that each slot is split into; None chooses from sizes alone.

    Returns:
        What each row saw [B, H, d]; zeros for rows without a slot or with an empty one.
    """
    if not available(q.device):
        seen = reference.decode_attention(q, keys, values, groups, lengths, scale)
        return seen if out is None else out.copy_(seen)
    out = torch.empty_like(q, memory_format=torch.contiguous_format) if out is None else out
    if splits is None:
        resident = attention.PROGRAMS_PER_PROCESSOR * _processors(q.device)
        splits = splits_of(len(groups.slot) * q.shape[1], keys.shape[2], resident)
    table = None if isinstance(lengths, int) else lengths
    if isinstance(lengths, int):
        keys, values = keys[:, :, :lengths], values[:, :, :lengths]
    attention.decode_attention(q.contiguous(), keys, values, groups, table, scale, out, splits)
    return out


def rotate_and_append(
    qkv: Tensor,
    cos: Tensor,
    sin: Tensor,
    rows: Tensor,
    positions: Tensor,
    keys: Tensor,
    values: Tensor,
) -> Tensor:
    """Apply rotary embedding to each row's new query and key, and append key and value to the KV cache.

    Args:
        qkv: queries, keys and values of one new token per row, side by side [B, 3 * H * d].
        cos: of the angles that the first channels of a head are rotated by [positions, rotary width], in qkv's dtype.
        sin: likewise.
        rows: slot of each row [B], any integer type; -1 for a padding row, which writes nothing.
        positions: position of the new token in its slot [B]; where there is no room for it, nothing is written, and
            the query comes back as if it stood at 0.
        keys: of every slot [slots, H, L, d], changed in place; any strides, but the last axis must be contiguous.
        values: likewise.

    Returns:
        Rotated queries [B, H, d].
    """
    if not available(qkv.device):
        return reference.rotate_and_append(qkv, cos, sin, rows, positions, keys, values)
    heads = keys.shape[1]
    q = torch.empty((len(qkv), heads, qkv.shape[1] // (3 * heads)), dtype=qkv.dtype, device=qkv.device)
    append.rotate_and_append(qkv, cos, sin, rows, positions, keys, values, q)
    return q


def absorbed_attention(
    qk: Tensor,
    features: Tensor,
    groups: DecodeGroups,
    scale: float,
    out: Tensor | None = None,
    splits: int | None = None,
) -> Tensor:
    """Compute attention of one query per row and head over the features of its image, without keys and values.

    Keys are W_k f + b_k and values W_v f + b_v of the features f. With queries q that gives the same result as
    `decode_attention`, if the caller passes W_k^T q for each head and applies W_v and then b_v to what comes back: b_k
    moves all scores of a head alike, so that softmax drops it, and its weights sum to 1, so that b_v stays as it is.

    Args:
        qk: queries in the space of the features [B, H, D].
        features: of every slot [slots, V, D]; any strides, but the last axis must be contiguous.
        groups: which rows look at which slot; here only `row_slot` counts.
        scale: of the scores, before softmax.
        out: where to write; neither rows nor heads need be neighbours in memory.
        splits: parts that each slot is split into; None chooses from sizes alone.

    Returns:
        Mean of the features, weighted by attention [B, H, D]; zeros for rows without a slot.
    """
    if not available(qk.device):
        seen = reference.absorbed_attention(qk, features, groups, scale)
        return seen if out is None else out.copy_(seen)
    out = torch.empty_like(qk, memory_format=torch.contiguous_format) if out is None else out
    if splits is None:
        programs = len(qk) * -(-qk.shape[1] // absorbed.HEADS_TOGETHER)
        resident = absorbed.PROGRAMS_PER_PROCESSOR * _processors(qk.device)
        splits = splits_of(programs, features.shape[1], resident)
    tile = absorbed.tile_of(qk.shape[2], qk.element_size(), _shared_bytes(qk.device))
    absorbed.absorbed_attention(qk.contiguous(), features, groups, scale, out, splits, tile)
    return out


@functools.cache
def _properties(device: torch.device) -> Any:
    return torch.cuda.get_device_properties(device)


def _processors(device: torch.device) -> int:
    """Return the number of streaming multiprocessors; 1 where the kernels are interpreted."""
    return int(_properties(device).multi_processor_count) if device.type == "cuda" else 1


def _shared_bytes(device: torch.device) -> int:
    """Return the shared memory that one program may have; an H100's where the kernels are interpreted."""
    return int(_properties(device).shared_memory_per_block_optin) if device.type == "cuda" else 227 * 1024
