"""How many slots are advised: the default unless more clearly pay, or it is too many; never what is not allowed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import pairwise

import pytest

from service.bench.slot_advice import ANSWER_TOKENS, LONGEST_STEP_S, RowTimes, advise

COUNTS = (1, 2, 4, 8, 16, 32)
MUCH = 1000  # slots that there is memory for


def line(first_s: float, row_s: float, counts: tuple[int, ...] = COUNTS, turns: int = 3) -> dict[int, list[float]]:
    """Steps whose time is a straight line over the number of rows."""
    return {rows: [first_s + row_s * rows] * turns for rows in counts}


@pytest.mark.parametrize(
    ("first_s", "row_s", "prompt_s", "slots"),
    [
        pytest.param(0.0, 0.001, 0.01, 8, id="each row costs as much as the first"),
        pytest.param(0.010, 0.0, 0.0, 32, id="more rows cost nothing, prompts neither"),
        pytest.param(0.010, 0.003, 0.0, 16, id="16 give 1.17 times the answers of 8, and 32 only 1.09 times those"),
        pytest.param(0.010, 0.001, 1.0, 8, id="reading prompts takes all the time"),
        pytest.param(0.300, 0.001, 0.0, 1, id="even one row takes too long"),
        pytest.param(0.100, 0.030, 0.0, 4, id="8 rows make a token take too long"),
        pytest.param(0.200, 0.004, 0.0, 8, id="16 would pay, but make a token take too long"),
    ],
)
def test_slots_are_as_many_as_pay(first_s: float, row_s: float, prompt_s: float, slots: int) -> None:
    assert advise(RowTimes(prompt_s, line(first_s, row_s)), MUCH).slots == slots


@pytest.mark.parametrize("most", range(1, 40))
def test_memory_bounds_slots(most: int) -> None:
    assert advise(RowTimes(0.0, line(0.010, 0.0)), most).slots == max(rows for rows in COUNTS if rows <= most)


def test_one_slot_is_advised_where_there_is_memory_for_none_that_was_tried() -> None:
    found = advise(RowTimes(0.0, line(0.01, 0.0, (4, 8))), 2)
    assert (found.slots, found.reason) == (4, "there is memory for 2 with 8")


def test_among_few_numbers_the_nearest_below_the_default_is_the_usual_one() -> None:
    assert advise(RowTimes(0.01, line(0.0, 0.001, (1, 3, 5))), MUCH).slots == 5
    assert advise(RowTimes(0.01, line(0.0, 0.001, (12, 24))), MUCH).slots == 12
    assert advise(RowTimes(0.01, line(0.0, 0.001, (6,))), MUCH).reason == "no more were tried"


def test_less_than_twice_the_rows_need_less_of_a_gain() -> None:
    times = RowTimes(0.0, line(0.010, 0.004, (8, 10)))
    assert times.gain(8, 10).median == pytest.approx(1.05)
    assert advise(times, MUCH).slots == 10


def test_answers_a_second_count_the_prompt_and_the_tokens_after_it() -> None:
    times = RowTimes(0.5, {8: [0.08, 0.16]})
    assert times.answers_per_s(8) == [1 / (0.5 + (ANSWER_TOKENS - 1) * 0.01), 1 / (0.5 + (ANSWER_TOKENS - 1) * 0.02)]


def test_one_turn_that_was_disturbed_decides_nothing() -> None:
    steps = line(0.0, 0.001, turns=7)
    assert advise(RowTimes(0.0, steps | {8: [0.1, *steps[8][1:]]}), MUCH).slots == 8
    cheap = line(0.010, 0.0, turns=7)
    assert advise(RowTimes(0.0, cheap | {16: [1.0, *cheap[16][1:]]}), MUCH).slots == 32


def test_turns_that_disagree_leave_the_default() -> None:
    steps = line(0.010, 0.0, (8, 16), turns=6)
    assert advise(RowTimes(0.0, steps | {16: [0.01, 0.02] * 3}), MUCH).slots == 8


def test_the_reason_names_figures() -> None:
    assert advise(RowTimes(0.0, line(0.0, 0.001)), MUCH).reason == "16 give 1.00 times (1.00 to 1.00) the answers of 8"
    assert advise(RowTimes(0.0, line(0.010, 0.0)), MUCH).reason.startswith("32 give 2.00 times")
    assert advise(RowTimes(0.0, line(0.010, 0.0)), 8).reason.endswith("of 8, but there is memory for 8")
    assert advise(RowTimes(0.0, line(0.2, 0.004)), MUCH).reason.endswith("of 8, but a token takes 0.26 s")
    assert advise(RowTimes(0.0, line(0.1, 0.03)), MUCH).reason == "a token takes 0.34 s with 8"


def _drawn(dice: random.Random, first_s: float, row_s: float) -> Mapping[int, list[float]]:
    return {
        rows: [each * dice.lognormvariate(0.0, 0.3) for each in turns] for rows, turns in line(first_s, row_s).items()
    }


@pytest.mark.parametrize("seed", range(200))
def test_whatever_was_measured_the_advice_keeps_the_bounds_and_more_memory_or_costlier_prompts_never_turn_it_round(
    seed: int,
) -> None:
    dice = random.Random(seed)
    steps = _drawn(dice, dice.uniform(0.0, 0.2), dice.uniform(0.0, 0.02))
    chosen = [advise(RowTimes(0.01, steps), most).slots for most in range(1, 41)]
    assert all(slots in COUNTS for slots in chosen)
    assert all(slots <= most for most, slots in enumerate(chosen, 1))
    assert all(fewer <= more for fewer, more in pairwise(chosen))
    by_prompt = [advise(RowTimes(prompt_s, steps), MUCH).slots for prompt_s in (0.0, 0.01, 0.1, 1.0, 10.0)]
    assert all(first >= later for first, later in pairwise(by_prompt))
    for slots in (*chosen, *by_prompt):
        assert slots == 1 or sorted(steps[slots])[len(steps[slots]) // 2] <= LONGEST_STEP_S
