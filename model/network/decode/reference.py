"""Naive twins of the decode kernels: plain torch, one group after the other, in float32 or better.

They ask the device for numbers, so they cannot be captured in a CUDA graph. Called by the engine's thread where there
is no Triton, and by tests.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model.network.kernels.groups import DecodeGroups


def decode_attention(
    q: Tensor, keys: Tensor, values: Tensor, groups: DecodeGroups, lengths: Tensor | int, scale: float
) -> Tensor:
    """Compute attention of one query per row over its slot; see `model.network.decode.attention.decode_attention`."""
    out = torch.zeros_like(q)
    for row, slot in enumerate(groups.row_slot.tolist()):
        length = min(int(lengths if isinstance(lengths, int) else lengths[slot]), keys.shape[2])
        if slot >= 0 and length:
            weights = _softmax(_wide(q[row]).unsqueeze(-2) @ _wide(keys[slot, :, :length]).transpose(-1, -2), scale)
            out[row] = (weights @ _wide(values[slot, :, :length])).squeeze(-2)
    return out


def absorbed_attention(qk: Tensor, features: Tensor, groups: DecodeGroups, scale: float) -> Tensor:
    """Compute attention over features; see `model.network.decode.attention.absorbed_attention`."""
    context = torch.zeros_like(qk)
    for row, slot in enumerate(groups.row_slot.tolist()):
        if slot >= 0:
            seen = _wide(features[slot])
            context[row] = _softmax(_wide(qk[row]) @ seen.T, scale) @ seen
    return context


def rotate_and_append(
    qkv: Tensor,
    cos: Tensor,
    sin: Tensor,
    rows: Tensor,
    positions: Tensor,
    keys: Tensor,
    values: Tensor,
) -> Tensor:
    """Apply rotary embedding and append to the KV cache; see `model.network.decode.attention.rotate_and_append`."""
    real = (rows >= 0) & (positions < keys.shape[2])
    positions = torch.where(real, positions, 0)
    q, k, v = qkv.view(len(qkv), 3, keys.shape[1], -1).unbind(1)  # [B, H, d]
    keys[rows[real], :, positions[real]] = _rotate(k, cos[positions], sin[positions])[real]
    values[rows[real], :, positions[real]] = v[real]
    return _rotate(q, cos[positions], sin[positions])


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the first channels of [B, H, d] by [B, rotary width], in half-split form."""
    width = cos.shape[-1]
    turned, passed = x[..., :width], x[..., width:]
    first, second = turned.chunk(2, dim=-1)
    turned = turned * cos.unsqueeze(1) + torch.cat([-second, first], dim=-1) * sin.unsqueeze(1)
    return torch.cat([turned, passed], dim=-1)


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _softmax(scores: Tensor, scale: float) -> Tensor:
    return torch.softmax(scores * scale, dim=-1)
