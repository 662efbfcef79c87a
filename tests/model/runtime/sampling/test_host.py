"""Sampling: greedy, reproducible, inside the nucleus, and each row on its own."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.request import Sampling
from model.runtime.sampling.host import choose

GREEDY = Sampling()


def test_temperature_zero_takes_the_best_token() -> None:
    assert choose(torch.tensor([[0.0, 3.0, 1.0], [5.0, 3.0, 1.0]]), [GREEDY, GREEDY], [0, 7]) == [1, 0]


@pytest.mark.parametrize("top_p", [1.0, 0.5, 5e-324])
@pytest.mark.parametrize("temperature", [5e-324, 1e-310, 1e-40, 9.9e-7])
def test_a_temperature_next_to_zero_takes_the_best_token_too(temperature: float, top_p: float) -> None:
    logits = 4 * torch.randn(8, 640, generator=torch.Generator().manual_seed(2))
    rows = [Sampling(temperature=temperature, top_p=top_p, seed=seed) for seed in range(8)]
    assert choose(logits, rows, [0] * 8) == logits.argmax(dim=-1).tolist()


def test_the_least_temperature_and_top_p_that_are_drawn_from_take_the_best_token() -> None:
    logits = 1e30 * torch.randn(8, 640, generator=torch.Generator().manual_seed(2))
    rows = [Sampling(temperature=1e-6, seed=1), Sampling(temperature=2.0, top_p=5e-324, seed=1)] * 4
    assert choose(logits, rows, [0] * 8) == logits.argmax(dim=-1).tolist()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")], ids=["not a number", "infinite"])
def test_a_row_that_is_not_finite_fails_alone(bad: float) -> None:
    logits = torch.tensor([[0.0, 1.0], [bad, 1.0], [2.0, 1.0]])
    assert choose(logits, [GREEDY, Sampling(temperature=1.0), GREEDY], [0, 0, 0]) == [1, None, 0]


@given(st.integers(0, 2**63 - 1), st.integers(0, 500), st.floats(0.1, 2.0), st.floats(0.05, 1.0))
def test_a_draw_depends_on_seed_and_step_alone_and_not_on_its_neighbours(
    seed: int, step: int, temperature: float, top_p: float
) -> None:
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(seed % 1000))
    mine = Sampling(temperature=temperature, top_p=top_p, seed=seed)
    other = Sampling(temperature=1.5, seed=seed + 1)
    alone = choose(logits[:1], [mine], [step])[0]
    assert choose(logits, [mine, other, GREEDY], [step, step, step])[0] == alone
    assert choose(logits.flip(0), [GREEDY, other, mine], [1, 2, step])[2] == alone


@given(st.integers(0, 2**31), st.floats(0.05, 0.95))
def test_a_draw_stays_inside_the_smallest_set_that_reaches_top_p(seed: int, top_p: float) -> None:
    logits = torch.randn(1, 30, generator=torch.Generator().manual_seed(seed))
    token = choose(logits, [Sampling(temperature=1.0, top_p=top_p, seed=seed)], [0])[0]
    probabilities = logits[0].double().softmax(-1)
    better = probabilities[probabilities > probabilities[token]].sum()
    assert better < top_p


@pytest.mark.parametrize("top_p", [1.0, 0.9])
def test_last_bits_of_the_logits_decide_nothing(top_p: float) -> None:
    chance = torch.Generator().manual_seed(0)
    flat = torch.randn(1, 1024, generator=chance) / 100  # thousands of near ties for a place in the order
    settings = [Sampling(temperature=1.0, top_p=top_p, seed=5)]
    for step in range(2000):
        noisy = flat + 1e-6 * torch.randn(1, 1024, generator=chance)
        assert choose(noisy, settings, [step]) == choose(flat, settings, [step])


def test_draws_of_neighbouring_steps_and_seeds_have_nothing_in_common() -> None:
    logits = torch.zeros(1, 1000)
    by_step, by_seed = (
        [choose(logits, [Sampling(temperature=1.0, seed=seed)], [step])[0] for seed, step in pairs]
        for pairs in ([(1, step) for step in range(500)], [(seed, 1) for seed in range(500)])
    )
    for draws in (by_step, by_seed):
        [(_, same_distance)] = Counter(b - a for a, b in pairwise(draws)).most_common(1)
        assert same_distance < 10
        assert len(set(draws)) > 350  # of 500 independent ones about 393 differ


def test_draws_follow_the_distribution() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0]])
    expected = logits[0].softmax(-1)
    draws = [choose(logits, [Sampling(temperature=1.0, seed=3)], [step])[0] for step in range(3000)]
    observed = torch.bincount(torch.tensor(draws), minlength=3) / len(draws)
    torch.testing.assert_close(observed, expected, atol=0.03, rtol=0)
