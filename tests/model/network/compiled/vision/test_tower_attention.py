"""Compiled attention within tiles against torch's: all sizes, any number of threads and tiles."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

pytest.importorskip("numba")

from model.network.compiled.vision.tower_attention import attend_within_tiles


def numbers(tiles: int, tokens: int, heads: int, width: int) -> Tensor:
    return torch.randn(tiles * tokens, 3 * heads * width, generator=torch.Generator().manual_seed(tokens))


def defined(qkv: Tensor, tiles: int, heads: int) -> Tensor:
    """Attention as torch computes it, in double precision."""
    parts = qkv.double().view(tiles, -1, 3, heads, qkv.shape[1] // (3 * heads)).permute(2, 0, 3, 1, 4)
    return F.scaled_dot_product_attention(*parts).transpose(1, 2).reshape(len(qkv), -1)


@pytest.mark.parametrize("tokens", [4, 5, 15, 16, 17, 145])
@pytest.mark.parametrize(("heads", "width"), [(1, 16), (4, 32), (2, 80)], ids=str)
def test_it_agrees_with_the_definition(tokens, heads, width):
    qkv = numbers(3, tokens, heads, width)
    got = attend_within_tiles(qkv, 3, heads)
    torch.testing.assert_close(got.double(), defined(qkv, 3, heads), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_tile_sees_the_same_alone_and_by_any_number_of_threads(threads, monkeypatch):
    qkv = numbers(5, 17, 3, 32)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    together = attend_within_tiles(qkv, 5, 3).view(5, 17, -1)
    for tile, part in enumerate(qkv.view(5, 17, -1)):
        assert torch.equal(attend_within_tiles(part.contiguous(), 1, 3), together[tile])


@pytest.mark.parametrize("factor", [1e-4, 30.0, 1e4])
def test_scores_of_any_size_overflow_nothing(factor):
    qkv = numbers(1, 20, 2, 32) * factor
    qkv[:, 128:] /= factor  # the values
    torch.testing.assert_close(attend_within_tiles(qkv, 1, 2).double(), defined(qkv, 1, 2), rtol=1e-3, atol=1e-4)


def test_what_is_no_number_stays_in_its_tile():
    qkv = numbers(2, 9, 2, 16)
    qkv[3, 5] = float("nan")
    got = attend_within_tiles(qkv, 2, 2).view(2, 9, -1)
    assert got[0, 3].isnan().any()
    assert got[1].isfinite().all()
