"""Slots: rows and images come and go, nothing is shared by accident, nothing leaks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.checkpoint import Checkpoint
from model.config import GEOMETRIES
from model.cross_attention import ImageGroup
from model.slots import Slots, rows_of

TINY = GEOMETRIES["pheye-micro"]
CPU = torch.device("cpu")


def slots(count: int = 4) -> Slots:
    return Slots(TINY, count, 16, CPU, torch.float32)


def enter(state: Slots, row: int, image: str) -> None:
    if not state.has_image(image):
        state.claim_image(image)
    state.occupy(row, image, 3)


def test_rows_that_look_at_the_same_image_form_one_group() -> None:
    state = slots()
    for row, image in ((2, "a"), (0, "b"), (3, "a")):
        enter(state, row, image)
    assert state.groups([0, 2, 3]) == [ImageGroup(1, (0,)), ImageGroup(0, (1, 2))]


def test_an_image_stays_until_its_last_row_leaves() -> None:
    state = slots()
    enter(state, 0, "a")
    enter(state, 1, "a")
    state.release(0)
    assert state.has_image("a")
    state.release(1)
    assert not state.has_image("a")


def test_a_taken_slot_is_not_given_again() -> None:
    state = slots()
    enter(state, 0, "a")
    with pytest.raises(ValueError, match="slot 0 is taken"):
        state.occupy(0, "a", 1)


def test_what_a_failed_row_left_is_scrubbed() -> None:
    state = slots()
    enter(state, 1, "a")
    state.keys[:, 1] = state.values[:, 1] = float("nan")
    state.release(1, scrub=True)
    assert torch.isfinite(state.keys).all()
    assert torch.isfinite(state.values).all()


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abcde")), max_size=40))
def test_there_is_always_an_image_slot_for_a_free_row_slot(visits: list[tuple[int, str]]) -> None:
    state, inside = slots(), {}
    for row, image in visits:
        if row in inside:
            state.release(row)
            del inside[row]
        else:
            enter(state, row, image)
            inside[row] = image
        for group in state.groups(list(inside)) if inside else []:
            assert len({list(inside.values())[position] for position in group.rows}) == 1
    for row in inside:
        state.release(row)
    assert state.lengths == [0] * 4
    assert not any(map(state.has_image, "abcde"))


@pytest.mark.parametrize(("rows", "copied"), [([1, 2, 3], False), ([0], False), ([0, 2], True), ([2, 1], True)])
def test_neighbouring_rows_are_read_in_place(rows: list[int], copied: bool) -> None:
    slab = torch.randn(4, 2, 8, 3)
    seen = rows_of(slab, rows, 5)
    torch.testing.assert_close(seen, slab[rows][:, :, :5])
    assert (seen.untyped_storage().data_ptr() != slab.untyped_storage().data_ptr()) is copied


def test_the_memory_of_a_slot_is_the_closed_formula(tiny: Checkpoint) -> None:
    state, d = slots(), TINY.decoder
    own = 2 * d.layers * d.width * 16 * 4
    image = 2 * len(TINY.cross_layers) * TINY.inner_width * TINY.image_tokens * 4
    held = sum(slab.nbytes for slab in (state.keys, state.values, state.cross_keys, state.cross_values))
    assert held == 4 * (own + image)
