"""Cross-attention of few queries: the forms agree, whatever keys and values are kept in."""

from __future__ import annotations

import pytest
import torch

from model.network import cross_attention
from model.network.cross_attention import SCALE, ImageGroup

GROUPS = [ImageGroup(1, ((0, 2), (1, 3))), ImageGroup(4, ((4,),))]


def parts(dtype: torch.dtype, new_tokens: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries of 5 rows, and keys and values of 5 slots."""
    chance = torch.Generator().manual_seed(0)
    q, keys, values = (
        torch.randn(shape, generator=chance) for shape in ((5, 3, new_tokens, 64), *[(5, 3, 70, 64)] * 2)
    )
    return q, keys.to(dtype), values.to(dtype)


@pytest.mark.parametrize("amx", [True, False], ids=["with-amx", "without"])
@pytest.mark.parametrize("new_tokens", [1, 2, 9])
@pytest.mark.parametrize(
    ("dtype", "error"), [(torch.float32, 1e-5), (torch.bfloat16, 0.02)], ids=["float32", "bfloat16"]
)
def test_every_form_sees_what_attention_in_float32_sees(
    dtype: torch.dtype, error: float, new_tokens: int, amx: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross_attention, "_has_amx", lambda: amx)
    q, keys, values = parts(dtype, new_tokens)
    seen = cross_attention._attend(q, keys, values, GROUPS)
    assert seen.dtype is torch.float32
    slot_of = {row: slot for group in GROUPS for slot, rows in enumerate(group.rows, group.first_slot) for row in rows}
    for row, slot in slot_of.items():
        scores = q[row] @ keys[slot].float().transpose(-1, -2) * SCALE
        torch.testing.assert_close(seen[row], scores.softmax(-1) @ values[slot].float(), atol=error, rtol=0)


def test_few_queries_of_bfloat16_are_products_where_there_is_no_amx(monkeypatch: pytest.MonkeyPatch) -> None:
    q, *_ = parts(torch.float32, 1)
    monkeypatch.setattr(cross_attention, "_has_amx", lambda: False)
    assert cross_attention._by_products(q.bfloat16())
    assert not cross_attention._by_products(q)
    assert not cross_attention._by_products(q.bfloat16().expand(5, 3, 9, 64))
    monkeypatch.setattr(cross_attention, "_has_amx", lambda: True)
    assert not cross_attention._by_products(q.bfloat16())
