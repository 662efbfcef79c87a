"""Attention of many rows to an image by panels against its definition; rows do not see each other.

`test_processors.py` runs this file again for processors that lack instructions.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

pytest.importorskip("numba")

from model.network.compiled.prompt_attention import attend_together, room_floats
from model.network.compiled.steps import _memory

HEADS, GUARD = 2, 64  # floats behind the room, which nothing may touch


def numbers(tokens: int, width: int, rows: int = 43) -> tuple[Tensor, Tensor, Tensor]:
    """Queries [B, H, d] of more rows than attend, and keys and values of three images [3, H, tokens + 1, d]."""
    chance = torch.Generator().manual_seed(tokens)
    keys, values = (torch.randn(3, HEADS, tokens + 1, width, generator=chance) for _ in range(2))
    return torch.randn(rows, HEADS, width, generator=chance), keys, values


def seen(q: Tensor, keys: Tensor, values: Tensor, slot: int, members: list[int]) -> Tensor:
    """Attention by the kernel to all tokens but the last, over the members' queries [B, H, d]."""
    tokens, width, out = keys.shape[2] - 1, q.shape[2], q.clone()
    size = room_floats(len(members), tokens, width)
    room = torch.full((size + GUARD,), float("nan"))
    room[size:] = 7
    for head in range(HEADS):
        attend_together(
            np.array(_memory(keys, values)), slot, head, tokens, np.float32(0.125), np.array(members), out.data_ptr(),
            4 * HEADS * width, room.data_ptr(),
        )  # fmt: skip
    assert (room[size:] == 7).all()
    return out


def defined(q: Tensor, keys: Tensor, values: Tensor, slot: int) -> Tensor:
    near = keys[slot, :, :-1].double(), values[slot, :, :-1].double()
    return F.scaled_dot_product_attention(q.double().transpose(0, 1), *near, scale=0.125).transpose(0, 1)


@pytest.mark.parametrize("count", [1, 4, 7, 32, 40])
@pytest.mark.parametrize("tokens", [1, 15, 16, 64, 65, 200, 290])
@pytest.mark.parametrize("width", [16, 32, 64, 96])
def test_it_agrees_with_the_definition_and_leaves_other_rows_alone(width, tokens, count):
    q, keys, values = numbers(tokens, width)
    keys[:, :, -1] = values[:, :, -1] = float("nan")  # behind the tokens
    members = torch.randperm(len(q), generator=torch.Generator().manual_seed(0))[:count].tolist()
    wanted = q.double()
    wanted[members] = defined(q[members], keys, values, 1)
    torch.testing.assert_close(seen(q, keys, values, 1, members).double(), wanted, rtol=1e-5, atol=1e-6)


def test_a_row_sees_the_same_in_any_company():
    q, keys, values = numbers(145, 32)
    together = seen(q, keys, values, 2, list(range(40)))
    for members in ([0], [7, 3, 39], list(range(39, 20, -1)), [5, 1, 6, 2, 11]):
        assert torch.equal(seen(q, keys, values, 2, members)[members], together[members])


@pytest.mark.parametrize("factor", [1e-6, 100.0, 1e5])
def test_scores_of_any_size_overflow_nothing(factor):
    q, keys, values = numbers(145, 32)
    got = seen(q * factor, keys, values, 0, list(range(43)))
    torch.testing.assert_close(got.double(), defined(q * factor, keys, values, 0), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")], ids=str)
@pytest.mark.parametrize("place", [0, 6, 8], ids=["first", "in the middle", "last"])
def test_a_row_that_went_wrong_is_seen_and_costs_its_neighbours_nothing(place, bad):
    q, keys, values = numbers(145, 32)
    members = list(range(9))
    wanted = seen(q, keys, values, 0, members)
    q[place, :, 5] = bad
    got = seen(q, keys, values, 0, members)
    assert not got[place].isfinite().any()
    others = [row for row in members if row != place]
    assert torch.equal(got[others], wanted[others])


def test_an_image_that_went_wrong_is_seen_by_those_who_look_at_it():
    q, keys, values = numbers(145, 32)
    keys[1, 0, 144, 0] = float("nan")
    assert not seen(q, keys, values, 1, list(range(9)))[:9, 0].isfinite().any()
    assert seen(q, keys, values, 0, list(range(9))).isfinite().all()
    assert seen(q, keys, values, 2, list(range(9))).isfinite().all()
