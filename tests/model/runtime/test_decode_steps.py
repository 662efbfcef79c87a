"""Decode steps of fixed shapes give the tokens of eager steps: alone, in a crowd, in any slots, sampled or not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest

import pytest
import torch

from model.checkpoint.checkpoint import Checkpoint
from model.pixels.tiles import ImageKey
from model.request import NewRow, Sampling, TileSpan
from model.runtime.runner import ModelRunner
from tests.support.golden import Golden, fp32_runner, noise_image

FORMS = {"kept-keys-and-values": False, "absorbed": True}


@pytest.fixture(params=FORMS.values(), ids=FORMS.keys())
def absorbed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def encode(runner: ModelRunner, checkpoint: Checkpoint, seed: int) -> ImageKey:
    image = noise_image(checkpoint, seed)
    if not runner.open_image(image) and not runner.encoded_tiles(image.image_key):
        runner.encode([TileSpan(image.image_key, 0, runner.config.tiles)])
    return image.image_key


def crowd(runner: ModelRunner, checkpoint: Checkpoint, rows: list[tuple[int, str, Sampling]]) -> list[list[int | None]]:
    """Rows of (image, question, settings) that come one a step and leave after as many tokens as they ask for."""
    answers: list[list[int | None]] = [[] for _ in rows]
    slots = list(reversed(range(runner.slots)))
    running: dict[int, int] = {}
    for arriving in [*range(len(rows)), *[None] * 30]:
        if arriving is not None:
            image, question, sampling = rows[arriving]
            image_key, slot = encode(runner, checkpoint, image), slots.pop()
            answers[arriving] += runner.prefill([NewRow(slot, image_key, runner.prompt(question), (), sampling)])
            runner.close_image(image_key)
            running[slot] = arriving
        for slot, token in zip_longest(sorted(running), runner.decode(sorted(running)) if running else []):
            row = running[slot]
            answers[row].append(token)
            if len(answers[row]) >= rows[row][2].max_tokens:
                del running[slot]
                runner.release(slot)
                slots.append(slot)
    return answers


ROWS = [
    (0, "What?", Sampling(max_tokens=12)),
    (1, "Which colour is the largest shape?", Sampling(max_tokens=5)),
    (0, "How many?", Sampling(max_tokens=9)),
    (2, "Read it.", Sampling(max_tokens=3)),
    (0, "What?", Sampling(max_tokens=7)),
    (3, "Where?", Sampling(max_tokens=12)),
    (1, "Describe it.", Sampling(max_tokens=10)),
]
SAMPLED = [
    (image, question, Sampling(settings.max_tokens, temperature=0.5 * (row % 3), top_p=1 - 0.2 * (row % 2), seed=row))
    for row, (image, question, settings) in enumerate(ROWS)
]


@pytest.mark.parametrize("rows", [ROWS, SAMPLED], ids=["greedy", "sampled"])
def test_fixed_steps_give_the_tokens_of_eager_ones_in_a_crowd(
    tiny: Checkpoint, rows: list[tuple[int, str, Sampling]], absorbed: bool
) -> None:
    eager = crowd(fp32_runner(tiny, slots=5), tiny, rows)
    assert crowd(fp32_runner(tiny, slots=5, steps="fixed", absorbed=absorbed), tiny, rows) == eager
    assert [len(answer) for answer in eager] == [settings.max_tokens for _, _, settings in rows]


def test_a_crowd_gives_each_row_what_it_gets_alone(tiny: Checkpoint, absorbed: bool) -> None:
    together = crowd(fp32_runner(tiny, slots=7, steps="fixed", absorbed=absorbed), tiny, SAMPLED)
    runner = fp32_runner(tiny, slots=1, steps="fixed", absorbed=absorbed)
    assert [crowd(runner, tiny, [row])[0] for row in SAMPLED] == together


def test_golden_cases_are_equal_token_for_token(golden: Golden, absorbed: bool) -> None:
    runner = golden.runner(slots=3, steps="fixed", absorbed=absorbed)
    for case in golden.cases:
        image = golden.image(case["image"])
        known = runner.open_image(image)
        if known < runner.config.tiles:
            runner.encode([TileSpan(image.image_key, known, runner.config.tiles)])
        (token,) = runner.prefill([NewRow(1, image.image_key, tuple(case["input_ids"]), (), Sampling())])
        tokens = [token]
        while len(tokens) < len(case["greedy_no_eos"]):
            tokens += runner.decode([1])
        runner.release(1)
        runner.close_image(image.image_key)
        assert tokens == case["greedy_no_eos"], case["case"]


def explained(runner: ModelRunner, checkpoint: Checkpoint) -> Iterator[list[int | None]]:
    """A watched row and one that is not: together in eager steps, the second alone in fixed ones before and after."""
    for slot in (0, 1):
        image_key = encode(runner, checkpoint, slot)
        yield runner.prefill([NewRow(slot, image_key, runner.prompt("What?"), (), Sampling(), explain=slot == 0)])
    for slots in ([1], [0, 1], [0, 1], [1], [0], [1]):
        yield runner.decode(slots)


def test_rows_pass_between_watched_eager_steps_and_fixed_ones(tiny: Checkpoint, absorbed: bool) -> None:
    fixed, eager = fp32_runner(tiny, steps="fixed", absorbed=absorbed), fp32_runner(tiny)
    assert list(explained(fixed, tiny)) == list(explained(eager, tiny))
    one, other = (runner.explain(0, ["a"] * 4) for runner in (fixed, eager))
    shares = [[share.local_share for share in explanation.layers] for explanation in (one, other)]
    assert shares[0] == pytest.approx(shares[1], abs=1e-5)


def test_a_row_whose_numbers_are_not_finite_fails_alone(tiny: Checkpoint) -> None:
    runner = fp32_runner(tiny, slots=3, steps="fixed")
    for slot in range(3):
        image_key = encode(runner, tiny, slot)
        runner.prefill([NewRow(slot, image_key, runner.prompt("What?"), (), Sampling())])
    runner._slots.keys[0, 1, :, 0] = torch.nan
    tokens = runner.decode([0, 1, 2])
    assert tokens[1] is None
    assert None not in (tokens[0], tokens[2])
