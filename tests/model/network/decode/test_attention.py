"""What decode attention decides on the host: groups and splits; and that it works without Triton."""

from __future__ import annotations

import pytest
import torch

from model.network.decode.attention import absorbed_attention, available, decode_attention, rotate_and_append
from model.network.kernels import triton_import
from model.network.kernels.combine import MOST_SPLITS, splits_of
from model.network.kernels.groups import ROWS_OF_GROUP, DecodeGroups


@pytest.mark.parametrize(
    ("programs", "tokens", "splits"),
    [
        pytest.param(32, 2570, 16, id="one row over an image"),
        pytest.param(8 * 32, 2570, 2, id="eight rows over images"),
        pytest.param(64 * 32, 2570, 1, id="enough rows to fill the device"),
        pytest.param(32, 128, 2, id="too few tokens to split further"),
        pytest.param(2, 99999, MOST_SPLITS, id="as many as are ever combined"),
    ],
)
def test_slots_are_split_until_the_device_is_full(programs, tokens, splits):
    assert splits_of(programs, tokens, resident=528) == splits


def test_rows_of_one_slot_share_groups_and_unused_groups_have_no_slot():
    groups = DecodeGroups.shared([4, -1, 4, 0])
    assert groups.slot.tolist() == [4, -1, 0, -1]
    assert [[row for row in rows if row >= 0] for rows in groups.rows.tolist()] == [[0, 2], [1], [3], []]


def test_a_table_takes_over_another_in_place():
    groups = DecodeGroups.alone([-1, -1])
    storage = groups.rows.data_ptr()
    groups.copy_(DecodeGroups.shared([3, 3]))
    assert groups.rows.data_ptr() == storage
    assert groups.slot.tolist() == [3, -1]
    assert groups.rows[0, :3].tolist() == [0, 1, -1]
    assert groups.row_slot.tolist() == [3, 3]


def test_a_group_holds_no_more_rows_than_its_table_has_room_for():
    groups = DecodeGroups.shared([2] * (ROWS_OF_GROUP + 1))
    assert groups.slot[:3].tolist() == [2, 2, -1]
    assert groups.rows[0].tolist() == list(range(ROWS_OF_GROUP))
    assert groups.rows[1, :2].tolist() == [ROWS_OF_GROUP, -1]


@pytest.fixture
def without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_import, "INSTALLED", False)
    assert not available(torch.device("cuda"))


def test_without_triton_the_twin_attends(without_triton):
    keys, values = torch.randn(2, 2, 9, 16), torch.randn(2, 2, 9, 16)
    q, out = torch.randn(1, 2, 16), torch.empty(1, 2, 16)
    seen = decode_attention(q, keys, values, DecodeGroups.alone([1]), torch.tensor([3, 5]), 0.25, out=out)
    expected = torch.nn.functional.scaled_dot_product_attention(
        q.transpose(0, 1), keys[1, :, :5], values[1, :, :5], scale=0.25
    ).transpose(0, 1)
    assert seen is out
    torch.testing.assert_close(out, expected)


def test_without_triton_the_twin_rotates_and_appends(without_triton):
    keys, values = torch.zeros(3, 1, 4, 2), torch.zeros(3, 1, 4, 2)
    qkv = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    cos, sin = torch.zeros(4, 2), torch.ones(4, 2)  # a quarter turn
    q = rotate_and_append(qkv, cos, sin, torch.tensor([2]), torch.tensor([1]), keys, values)
    assert q.tolist() == [[[-2.0, 1.0]]]
    assert keys[2, 0, 1].tolist() == [-4.0, 3.0]
    assert values[2, 0, 1].tolist() == [5.0, 6.0]
    assert keys.count_nonzero() == values.count_nonzero() == 2


def test_without_triton_the_twin_attends_to_features(without_triton):
    features, qk = torch.randn(2, 9, 16), torch.randn(2, 3, 16)
    context = absorbed_attention(qk, features, DecodeGroups.shared([1, -1]), 0.25)
    seen = features[1:2]
    expected = torch.nn.functional.scaled_dot_product_attention(qk[:1], seen, seen, scale=0.25)
    torch.testing.assert_close(context[:1], expected)
    assert not context[1].any()
