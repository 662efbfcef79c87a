"""Slots: rows and images come and go, nothing is shared by accident, nothing leaks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.checkpoint.checkpoint import Checkpoint
from model.config import GEOMETRIES
from model.network.cross_attention import ImageGroup
from model.network.slots import Slots, rows_of
from model.pixels.tiles import ImageKey

TINY = GEOMETRIES["pheye-micro"]
CPU = torch.device("cpu")


def slots(count: int = 4) -> Slots:
    return Slots(TINY, count, 16, CPU, (torch.float32, torch.float32))


def enter(state: Slots, row: int, image_key: str) -> None:
    if not state.has_image(ImageKey(image_key)):
        state.claim_image(ImageKey(image_key))
    state.occupy(row, ImageKey(image_key), 3)


def test_rows_that_look_at_the_same_image_form_one_group() -> None:
    state = slots()
    for row, image in ((2, "a"), (0, "b"), (3, "a")):
        enter(state, row, image)
    assert state.groups([0, 2, 3]) == [ImageGroup(0, ((1, 2),)), ImageGroup(1, ((0,),))]


def test_images_in_neighbouring_slots_form_one_group_if_as_many_rows_look_at_each() -> None:
    state = slots(6)
    for row, image in ((4, "a"), (0, "b"), (2, "c"), (3, "d"), (1, "d")):
        enter(state, row, image)
    assert state.groups([0, 1, 2, 3, 4]) == [ImageGroup(0, ((4,), (0,), (2,))), ImageGroup(3, ((1, 3),))]
    assert state.groups([2, 4]) == [ImageGroup(0, ((1,),)), ImageGroup(2, ((0,),))]


def test_an_image_stays_until_its_slot_is_needed_and_the_longest_idle_goes_first() -> None:
    state = slots(2)
    for row, image in enumerate("ab"):
        enter(state, row, image)
    state.release(0)
    state.release(1)
    enter(state, 0, "a")  # again: now b is the one that was needed longest ago
    assert state.has_image("b")
    enter(state, 1, "c")
    assert [state.has_image(image) for image in "abc"] == [True, False, True]


def test_an_image_that_is_forgotten_goes_with_its_last_row() -> None:
    state = slots()
    enter(state, 0, "a")
    enter(state, 1, "b")
    state.forget("a")
    assert state.has_image("a")
    state.release(0)
    assert not state.has_image("a")
    state.release(1)
    state.forget("b")
    assert not state.has_image("b")
    state.forget("never seen")


def beginning(count: int = 2) -> Slots:
    return Slots(TINY, count, 16, CPU, (torch.float32, torch.float32), prefix=(5, 6, 7))


def test_the_next_row_about_an_image_is_given_the_beginning_that_another_has_read() -> None:
    state = beginning()
    enter(state, 0, "a")
    assert state.begin(0, (5, 6, 7, 8)) == 0
    state.keys[:, 0], state.values[:, 0] = 2.0, 3.0
    state.keep_beginning(0, (5, 6, 7, 8))
    state.release(0)
    enter(state, 1, "a")
    assert state.begin(1, (5, 6, 7, 9)) == 3
    assert (state.keys[:, 1, :, :3] == 2).all()
    assert (state.values[:, 1, :, :3] == 3).all()
    assert not state.keys[:, 1, :, 3:].any()


@pytest.mark.parametrize("tokens", [(5, 6, 7), (5, 6, 8, 9), (5,)], ids=["nothing else", "another", "less"])
def test_a_prompt_that_begins_otherwise_is_given_nothing(tokens: tuple[int, ...]) -> None:
    state = beginning()
    enter(state, 0, "a")
    state.keep_beginning(0, (5, 6, 7, 8))
    enter(state, 1, "a")
    assert state.begin(1, tokens) == 0


def test_a_prompt_that_begins_otherwise_leaves_no_beginning() -> None:
    state = beginning()
    enter(state, 0, "a")
    state.keep_beginning(0, (5, 6, 8, 9))
    assert state.begin(0, (5, 6, 7, 8)) == 0


def test_another_image_in_the_slot_has_no_beginning_yet() -> None:
    state = beginning(1)
    enter(state, 0, "a")
    state.keep_beginning(0, (5, 6, 7, 8))
    state.release(0)
    enter(state, 0, "b")
    assert state.begin(0, (5, 6, 7, 8)) == 0


def test_a_taken_slot_is_not_given_again() -> None:
    state = slots()
    enter(state, 0, "a")
    with pytest.raises(ValueError, match="slot 0 is taken"):
        state.occupy(0, "a", 1)


def test_what_a_failed_row_left_is_scrubbed_and_its_image_is_not_trusted() -> None:
    state = slots()
    enter(state, 1, "a")
    state.keys[:, 1] = state.values[:, 1] = float("nan")
    state.release(1, failed=True)
    assert torch.isfinite(state.keys).all()
    assert torch.isfinite(state.values).all()
    assert not state.has_image("a")


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
            for rows in group.rows:
                assert len({list(inside.values())[position] for position in rows}) == 1
    for row in inside:
        state.release(row)
    assert state.lengths == [0] * 4
    assert sum(map(state.has_image, "abcde")) <= 4


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
    held = sum(slab.nbytes for slab in (state.keys, state.values, state.images.keys, state.images.values))
    assert held == 4 * (own + image)
