"""Sampling on the device: the host's choices token for token, by tensor operations and by the interpreted kernels."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.request import Sampling
from model.runtime.sampling import device, kernels, reference
from model.runtime.sampling.host import choose
from tests.support.device_sampling import chosen, random_logits, rows_of_a_batch

Choose = Callable[..., torch.Tensor]
interpreter_only = pytest.mark.skipif(
    kernels.triton is None or not kernels.triton.knobs.runtime.interpret,
    reason="needs Triton and TRITON_INTERPRET=1; test_kernels.py sees to it",
)
few = settings(max_examples=15)  # the interpreter takes a tenth of a second for a batch
both_ways = pytest.mark.parametrize(
    "on_device",
    [
        pytest.param(device.choose_on_device, id="tensor operations"),
        pytest.param(kernels.choose_on_device, id="kernels", marks=interpreter_only),
    ],
)


@both_ways
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@few
@given(rows_of_a_batch, st.integers(2, 200), st.integers(0, 2**31))
def test_tokens_are_those_the_host_chooses(
    on_device: Choose, dtype: torch.dtype, rows: list[tuple[Sampling, int]], vocab: int, chance: int
) -> None:
    logits = random_logits(len(rows), vocab, dtype, chance)
    samplings, steps = [sampling for sampling, _ in rows], [step for _, step in rows]
    assert chosen(on_device, logits, samplings, steps) == choose(logits, samplings, steps)


@both_ways
@pytest.mark.parametrize("vocab", [1024, 1025, 5_001], ids=["one stretch", "one token more", "many stretches"])
def test_tokens_of_larger_vocabularies_are_those_the_host_chooses(on_device: Choose, vocab: int) -> None:
    logits = random_logits(8, vocab, torch.bfloat16, seed=0)
    samplings = [Sampling(temperature=0.25 * row, top_p=1.0 - 0.12 * row, seed=row) for row in range(8)]
    for step in range(2):
        assert chosen(on_device, logits, samplings, [step] * 8) == choose(logits, samplings, [step] * 8)


@both_ways
def test_rows_of_a_wider_tensor_are_read_where_they_are(on_device: Choose) -> None:
    wider = random_logits(4, 300, torch.float32, seed=2)
    samplings = [Sampling(temperature=0.9 * (row % 2), top_p=0.5, seed=row) for row in range(4)]
    assert chosen(on_device, wider[:, :256], samplings, [3] * 4) == choose(wider[:, :256], samplings, [3] * 4)


@both_ways
def test_a_greedy_row_takes_the_first_of_equal_logits_like_the_host(on_device: Choose) -> None:
    logits = torch.tensor([[1.0, 3.0, 3.0, 0.0], [2.0, 2.0, 2.0, 2.0]])
    assert chosen(on_device, logits, [Sampling()] * 2, [0, 9]) == choose(logits, [Sampling()] * 2, [0, 9]) == [1, 0]


@both_ways
@pytest.mark.parametrize("top_p", [0.1, 0.5])
def test_the_nucleus_of_equal_probabilities_is_the_first_of_them(on_device: Choose, top_p: float) -> None:
    logits = torch.full((30, 10), 1.5)
    samplings = [Sampling(temperature=1.0, top_p=top_p, seed=seed) for seed in range(30)]
    tokens = chosen(on_device, logits, samplings, [0] * 30)
    assert tokens == choose(logits, samplings, [0] * 30)
    assert set(tokens) == set(range(round(10 * top_p)))


@both_ways
@pytest.mark.parametrize("bad", [torch.nan, torch.inf], ids=["not a number", "infinite"])
def test_a_row_that_is_not_finite_fails_alone(on_device: Choose, bad: float) -> None:
    logits = torch.tensor([[0.0, 1.0], [bad, 1.0], [bad, 1.0], [1.0, bad], [2.0, 1.0]])
    warm, narrow = Sampling(temperature=1.0), Sampling(temperature=1.0, top_p=0.5)
    samplings = [Sampling(), warm, narrow, Sampling(), Sampling()]
    expected = [1, None, None, None, 0]
    assert chosen(on_device, logits, samplings, [0] * 5) == choose(logits, samplings, [0] * 5) == expected


@both_ways
def test_a_token_that_is_ruled_out_is_never_drawn(on_device: Choose) -> None:
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf]] * 20)
    samplings = [Sampling(temperature=2.0, top_p=0.9 + 0.1 * (seed % 2), seed=seed) for seed in range(20)]
    assert chosen(on_device, logits, samplings, [0] * 20) == choose(logits, samplings, [0] * 20) == [1] * 20


@interpreter_only
@few
@given(rows_of_a_batch, st.integers(2, 3000), st.integers(0, 2**31))
def test_the_kernels_agree_with_their_naive_twin(rows: list[tuple[Sampling, int]], vocab: int, chance: int) -> None:
    logits = random_logits(len(rows), vocab, torch.bfloat16, chance)
    samplings, steps = [sampling for sampling, _ in rows], [step for _, step in rows]
    naive = chosen(reference.choose_on_device, logits, samplings, steps, nucleus=True)
    assert chosen(kernels.choose_on_device, logits, samplings, steps) == naive
