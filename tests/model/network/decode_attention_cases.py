"""Attention and append of one new token per row: the Triton kernels, interpreted, against their naive twins.

Run by `test_kernels_interpreted.py` in a process of its own.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from model.network.decode import reference
from model.network.decode.attention import available, decode_attention, rotate_and_append
from model.network.kernels.groups import ROWS_OF_GROUP, DecodeGroups

CPU = torch.device("cpu")
SCALE = 0.125
# The interpreter rounds to bfloat16 by cutting off, so that a result may be wrong by one last place: 2**-7 of it.
BOUNDS = {torch.float32: 1e-6, torch.float16: 2e-3, torch.bfloat16: 2**-7}
NAN = float("nan")


class Slabs(NamedTuple):
    keys: Tensor
    values: Tensor


def slabs(slots: int, heads: int, tokens: int, width: int, dtype: torch.dtype = torch.float32) -> Slabs:
    return Slabs(*(torch.randn(slots, heads, tokens, width).to(dtype) for _ in range(2)))


def attend_both_ways(
    q: Tensor, cache: Slabs, groups: DecodeGroups, lengths: Tensor | int, splits: int | None
) -> tuple[Tensor, Tensor]:
    """By the kernels, and by the twin in double precision."""
    assert available(CPU)
    fast = decode_attention(q, cache.keys, cache.values, groups, lengths, SCALE, splits=splits)
    exact = (part.double() for part in (q, cache.keys, cache.values))
    return fast.double(), reference.decode_attention(*exact, groups, lengths, SCALE)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("splits", [1, 3, None], ids=["whole", "split in 3", "split by size"])
@pytest.mark.parametrize("dtype", BOUNDS, ids=lambda dtype: str(dtype).removeprefix("torch."))
def test_rows_with_slots_of_their_own_and_shared_ones_agree_with_the_twin(dtype, splits):
    cache = slabs(6, 2, 300, 64, dtype)
    groups = DecodeGroups.shared([5, 2, 2, 0, 5, 2, 3])
    lengths = torch.tensor([300, 7, 129, 1, 9, 64], dtype=torch.int32)
    fast, exact = attend_both_ways(torch.randn(7, 2, 64).to(dtype), cache, groups, lengths, splits)
    torch.testing.assert_close(fast, exact, atol=BOUNDS[dtype], rtol=BOUNDS[dtype])


@pytest.mark.parametrize("width", [16, 32, 43, 48, 128])
def test_any_head_width_agrees_with_the_twin(width):
    cache = slabs(2, 3, 70, width)
    groups = DecodeGroups.alone([1, 0])
    lengths = torch.tensor([70, 33], dtype=torch.int32)
    fast, exact = attend_both_ways(torch.randn(2, 3, width), cache, groups, lengths, 2)
    torch.testing.assert_close(fast, exact, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("length", [1, 15, 16, 31, 32, 33, 63, 64, 65, 127, 128, 129, 160])
def test_lengths_at_the_edges_of_tiles_and_splits_agree_with_the_twin(length):
    cache = slabs(1, 1, 160, 64)
    lengths = torch.tensor([length], dtype=torch.int32)
    fast, exact = attend_both_ways(torch.randn(1, 1, 64), cache, DecodeGroups.alone([0]), lengths, 2)
    torch.testing.assert_close(fast, exact, atol=1e-6, rtol=1e-6)


def test_one_length_for_all_slots_agrees_with_the_twin():
    cache = slabs(3, 2, 85, 32)
    fast, exact = attend_both_ways(torch.randn(4, 2, 32), cache, DecodeGroups.shared([2, 0, 2, 1]), 85, 2)
    torch.testing.assert_close(fast, exact, atol=1e-6, rtol=1e-6)


def test_a_length_beyond_the_slab_is_taken_for_all_of_it():
    cache = slabs(2, 1, 40, 32)
    lengths = torch.tensor([41, 10**6], dtype=torch.int32)
    fast, exact = attend_both_ways(torch.randn(2, 1, 32), cache, DecodeGroups.alone([1, 0]), lengths, 2)
    torch.testing.assert_close(fast, exact, atol=1e-6, rtol=1e-6)


def test_more_rows_of_one_slot_than_a_group_holds_agree_with_the_twin():
    rows = 2 * ROWS_OF_GROUP + 3
    groups = DecodeGroups.shared([1] * rows)
    assert (groups.slot >= 0).sum() == 3
    fast, exact = attend_both_ways(torch.randn(rows, 1, 32), slabs(2, 1, 40, 32), groups, 40, 1)
    torch.testing.assert_close(fast, exact, atol=1e-6, rtol=1e-6)


def test_a_row_sees_the_same_alone_and_in_a_group():
    cache, q = slabs(1, 2, 100, 64), torch.randn(5, 2, 64)
    together = decode_attention(q, *cache, DecodeGroups.shared([0] * 5), 100, SCALE, splits=2)
    alone = decode_attention(q[3:4], *cache, DecodeGroups.shared([0]), 100, SCALE, splits=2)
    assert torch.equal(together[3:4], alone)


@pytest.mark.parametrize("splits", [1, 2], ids=["whole", "split in 2"])
def test_what_lies_beyond_a_length_is_never_seen(splits):
    cache = slabs(2, 1, 150, 32)
    groups, q = DecodeGroups.alone([1, 0]), torch.randn(2, 1, 32)
    lengths = torch.tensor([70, 1], dtype=torch.int32)
    before = decode_attention(q, *cache, groups, lengths, SCALE, splits=splits)
    for slab in cache:
        slab[0, :, 70:] = NAN
        slab[1, :, 1:] = NAN
    assert torch.equal(decode_attention(q, *cache, groups, lengths, SCALE, splits=splits), before)


@pytest.mark.parametrize("splits", [1, 2], ids=["whole", "split in 2"])
def test_padding_rows_and_empty_slots_get_zeros(splits):
    cache = slabs(3, 1, 150, 32)
    lengths = torch.tensor([150, 0, 20], dtype=torch.int32)
    out = torch.full((4, 1, 32), 7.0)
    groups = DecodeGroups.shared([0, -1, 1, -1])
    decode_attention(torch.randn(4, 1, 32), *cache, groups, lengths, SCALE, out=out, splits=splits)
    assert not out[1:].any()
    assert out[0].isfinite().all()
    assert out[0].all()


def test_any_strides_will_do():
    layers = torch.randn(3, 2, 90, 2, 32)  # a slab whose heads lie side by side, and one of several layers
    keys, values = layers[1].transpose(1, 2), torch.randn(2, 2, 4, 90, 32)[:, 1, ::2]
    q = torch.randn(32, 2, 2).permute(2, 1, 0)
    rows = torch.zeros(2, 3, 2, 32)
    groups = DecodeGroups.shared([1, 0])
    decode_attention(q, keys, values, groups, 90, SCALE, out=rows[:, 1], splits=1)
    exact = reference.decode_attention(q.double(), keys.double(), values.double(), groups, 90, SCALE)
    torch.testing.assert_close(rows[:, 1].double(), exact, atol=1e-6, rtol=1e-6)
    assert not rows[:, [0, 2]].any()


def rotation_tables(positions: int, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    angles = torch.rand(positions, width // 2).repeat(1, 2) * 6
    return angles.cos().to(dtype), angles.sin().to(dtype)


@pytest.mark.parametrize("dtype", BOUNDS, ids=lambda dtype: str(dtype).removeprefix("torch."))
@pytest.mark.parametrize(
    ("heads", "width", "turned"), [(2, 64, 32), (5, 32, 16), (3, 43, 16), (2, 16, 16)], ids=lambda n: str(n)
)
@pytest.mark.parametrize("integer", [torch.int32, torch.int64], ids=["int32", "int64"])
def test_rotated_and_appended_as_the_twin_does(dtype, heads, width, turned, integer):
    fast = slabs(4, heads, 20, width, dtype)
    naive = Slabs(*(slab.clone() for slab in fast))
    qkv = torch.randn(3, 3 * heads * width).to(dtype)
    tables = rotation_tables(20, turned, dtype)
    rows, positions = torch.tensor([3, 0, 2], dtype=integer), torch.tensor([19, 0, 7], dtype=integer)
    q = rotate_and_append(qkv, *tables, rows, positions, *fast)
    expected = reference.rotate_and_append(qkv, *tables, rows, positions, *naive)
    # The same roundings as torch; but the interpreter cuts off where the device rounds to bfloat16, three times.
    bound = 3 * 2**-7 if dtype == torch.bfloat16 else 0
    torch.testing.assert_close(q, expected, atol=bound, rtol=bound)
    torch.testing.assert_close(fast.keys, naive.keys, atol=bound, rtol=bound)
    assert torch.equal(fast.values, naive.values)


def test_padding_rows_and_rows_without_room_write_nothing_to_the_cache():
    cache = slabs(2, 2, 10, 32)
    before = Slabs(*(slab.clone() for slab in cache))
    rows, positions = torch.tensor([-1, 1, 0]), torch.tensor([10**9, 4, 10])
    qkv, tables = torch.randn(3, 192), rotation_tables(10, 16, torch.float32)
    q = rotate_and_append(qkv, *tables, rows, positions, *cache)
    naive = (slab.clone() for slab in before)
    assert torch.equal(q, reference.rotate_and_append(qkv, *tables, rows, positions, *naive))
    for slab, was in zip(cache, before, strict=True):
        assert not torch.equal(slab[1, :, 4], was[1, :, 4])
        slab[1, :, 4] = was[1, :, 4]
        assert torch.equal(slab, was)
