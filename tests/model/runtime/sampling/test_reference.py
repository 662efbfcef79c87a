"""Sampling on the device in tensor operations: numpy's random bits, and the noise the host makes of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from model.request import Sampling
from model.runtime.sampling.host import choose
from model.runtime.sampling.reference import WideFactor, choose_on_device, gumbel, multiply_wide, random_bits
from tests.support.device_sampling import chosen, random_logits, rows_of_a_batch, seeds, steps

words = st.integers(-(2**63), 2**63 - 1)


def numpy_bits(seed: int, step: int, size: int) -> np.ndarray:
    return np.random.Philox(key=seed, counter=step << 64).random_raw(size)


@given(words, words)
@example(-1, -1)
@example(-(2**63), -1)
def test_a_wide_product_is_that_of_unsigned_numbers(left: int, right: int) -> None:
    high, low = multiply_wide(torch.tensor([left]), WideFactor.of(torch.tensor([right])))
    product = (left % 2**64) * (right % 2**64)
    assert (high.item() % 2**64, low.item() % 2**64) == (product >> 64, product % 2**64)


@given(st.lists(st.tuples(seeds, steps), min_size=1, max_size=5), st.integers(1, 70))
@example([(0, 0)], 1)
@example([(2**63 - 1, 2**40), (1, 0)], 8)
def test_random_bits_are_those_of_numpy(rows: list[tuple[int, int]], size: int) -> None:
    bits = random_bits(torch.tensor([seed for seed, _ in rows]), torch.tensor([step for _, step in rows]), size)
    expected = np.stack([numpy_bits(seed, step, size) for seed, step in rows])
    np.testing.assert_array_equal(bits.numpy().view(np.uint64), expected)


def test_random_bits_of_a_whole_vocabulary_are_those_of_numpy() -> None:
    bits = random_bits(torch.tensor([7, 2**63 - 1]), torch.tensor([300, 0]), 51_200)
    expected = np.stack([numpy_bits(7, 300, 51_200), numpy_bits(2**63 - 1, 0, 51_200)])
    np.testing.assert_array_equal(bits.numpy().view(np.uint64), expected)


@given(seeds, steps)
def test_noise_is_the_host_s_but_for_the_last_bits_of_the_logarithms(seed: int, step: int) -> None:
    uniform = ((numpy_bits(seed, step, 64) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    noise = gumbel(torch.tensor([seed]), torch.tensor([step]), 64)[0]
    torch.testing.assert_close(noise, torch.from_numpy(-np.log(-np.log(uniform))), rtol=1e-14, atol=1e-15)


@given(st.lists(st.tuples(seeds, steps, st.floats(0.0, 2.0)), min_size=1, max_size=6))
def test_without_a_top_p_no_nucleus_is_needed(rows: list[tuple[int, int, float]]) -> None:
    logits = random_logits(len(rows), 100, torch.float32, seed=1)
    samplings = [Sampling(temperature=temperature, seed=seed) for seed, _, temperature in rows]
    given_tokens = [step for _, step, _ in rows]
    with_it = chosen(choose_on_device, logits, samplings, given_tokens, nucleus=True)
    assert chosen(choose_on_device, logits, samplings, given_tokens, nucleus=False) == with_it


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@given(rows_of_a_batch, st.integers(2, 200), st.integers(0, 2**31))
def test_tokens_are_those_the_host_chooses(
    dtype: torch.dtype, rows: list[tuple[Sampling, int]], vocab: int, chance: int
) -> None:
    logits = random_logits(len(rows), vocab, dtype, chance)
    samplings, given_tokens = [sampling for sampling, _ in rows], [step for _, step in rows]
    tokens = chosen(choose_on_device, logits, samplings, given_tokens, nucleus=True)
    assert tokens == choose(logits, samplings, given_tokens)


def test_tokens_of_a_whole_vocabulary_are_those_the_host_chooses() -> None:
    logits = random_logits(8, 51_200, torch.float32, seed=0)
    samplings = [Sampling(temperature=0.25 * row, top_p=1.0 - 0.1 * row, seed=row) for row in range(8)]
    for step in range(3):
        tokens = chosen(choose_on_device, logits, samplings, [step] * 8, nucleus=True)
        assert tokens == choose(logits, samplings, [step] * 8)
