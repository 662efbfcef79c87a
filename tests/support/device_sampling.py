"""What the tests of sampling on the device share: rows with settings, and both ways to ask for their tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from hypothesis import strategies as st

from model.request import Sampling
from model.runtime.sampling.device import FAILED

seeds = st.integers(0, 2**63 - 1)
steps = st.integers(0, 2048)
samplings = st.builds(
    Sampling,
    temperature=st.one_of(st.just(0.0), st.floats(0.05, 2.0), st.sampled_from([5e-324, 1e-300, 9e-7])),
    top_p=st.one_of(st.just(1.0), st.floats(0.01, 1.0)),
    seed=seeds,
)
rows_of_a_batch = st.lists(st.tuples(samplings, steps), min_size=1, max_size=6)


def random_logits(rows: int, vocab: int, dtype: torch.dtype, seed: int) -> torch.Tensor:
    return (4 * torch.randn(rows, vocab, generator=torch.Generator().manual_seed(seed))).to(dtype)


def as_tensors(samplings: Sequence[Sampling], steps: Sequence[int]) -> tuple[torch.Tensor, ...]:
    return (
        torch.tensor([sampling.divisor for sampling in samplings], dtype=torch.float64),
        torch.tensor([sampling.top_p for sampling in samplings], dtype=torch.float64),
        torch.tensor([sampling.seed for sampling in samplings]),
        torch.tensor(steps),
    )


def chosen(
    choose_on_device: Callable[..., torch.Tensor],
    logits: torch.Tensor,
    samplings: Sequence[Sampling],
    steps: Sequence[int],
    **options: bool,
) -> list[int | None]:
    """The tokens in the host's words."""
    tokens = choose_on_device(logits, *as_tensors(samplings, steps), **options)
    return [None if token == FAILED else token for token in tokens.tolist()]
