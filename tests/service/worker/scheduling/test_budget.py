"""The budget of a step: bounded stalls, and lean steps that hold up decoding by a share of its time on average."""

from __future__ import annotations

import pytest

from service.worker.scheduling.budget import LEAN_SHARE, MAX_TILES, StepBudget


def learnt(tile_s=0.005, prompt_s=0.02, decode_s=0.016):
    budget = StepBudget(stall_s=0.25, tiles_per_image=10, slots=8)
    budget.encoded(1, tile_s)
    budget.prefilled(1, prompt_s)
    for _ in range(20):
        budget.decoded(decode_s)
    return budget


def test_a_step_is_bounded_by_the_stall():
    assert learnt().tiles(decoding=True) == 50
    assert learnt(tile_s=0.001).tiles(decoding=True) == MAX_TILES
    assert learnt(tile_s=1.0).tiles(decoding=True) == 1
    assert learnt().prompts(decoding=True) == 12


def test_nothing_holds_back_a_step_in_which_nobody_decodes():
    budget = learnt()
    budget.encoded(80, 10.0)
    assert budget.tiles(decoding=False) >= 10
    assert budget.prompts(decoding=False) == 8
    assert budget.tiles(decoding=False, lean=True) >= 1
    assert budget.prompts(decoding=False, lean=True) >= 1


@pytest.mark.parametrize("tile_s", [0.001, 0.005, 0.1])
def test_lean_steps_hold_up_decoding_by_their_share_on_average(tile_s):
    budget, decoded_s, encoded_s, tiles = learnt(tile_s), 0.0, 0.0, 0
    for _ in range(2000):
        taken = budget.tiles(decoding=True, lean=True)
        if taken:
            budget.encoded(taken, taken * tile_s)
            encoded_s, tiles = encoded_s + taken * tile_s, tiles + taken
        budget.decoded(0.016)
        decoded_s += 0.016
    assert encoded_s <= 1.02 * LEAN_SHARE * decoded_s + tile_s
    assert tiles > 0  # nobody waits for ever


def test_a_large_step_is_not_held_against_the_next_ones_for_long():
    budget = learnt()
    budget.encoded(50, 0.25)
    steps = 0
    while not budget.tiles(decoding=True, lean=True):
        budget.decoded(0.016)
        steps += 1
    assert steps <= 16
