"""Sampling on the host: the next token of every row from its own logits, settings and seed.

Knows no requests. Pure; called by the engine's thread.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.request import Sampling


def choose(logits: Tensor, samplings: Sequence[Sampling], steps: Sequence[int]) -> list[int | None]:
    """Choose one token for each row.

    Args:
        logits: [B, vocab].
        samplings: settings of each row.
        steps: how many tokens each row has been given before this one.

    Returns:
        A token for each row; None where the row's logits are not finite, which is that row's failure alone.
    """
    best = logits.max(dim=-1)
    tokens: list[int | None] = [int(token) for token in best.indices.tolist()]
    for row, finite in enumerate(torch.isfinite(best.values).tolist()):
        if not finite:
            tokens[row] = None
        elif not samplings[row].greedy:
            tokens[row] = _draw(logits[row], samplings[row], steps[row])
    return tokens


def _draw(logits: Tensor, sampling: Sampling, step: int) -> int:
    """Sample the best of noisy scores (the Gumbel-max trick, Maddison et al. 2014).

    Every token has noise of its own. Logits that differ in their last bits, as those of a row computed with other
    neighbours or once more after its worker's death do, therefore give the same token, unless two scores nearly tie. A
    point on the line of ordered probabilities would fall on another token whenever two of a thousand change places.
    """
    scores = logits.double() / sampling.temperature
    if sampling.top_p < 1.0:
        scores = scores.masked_fill(~_nucleus(scores, sampling.top_p), -torch.inf)
    noise = torch.from_numpy(_gumbel(sampling.seed, step, len(scores))).to(scores.device)
    return int((scores + noise).argmax())


def _nucleus(scores: Tensor, top_p: float) -> Tensor:
    """Mark the fewest tokens whose probability reaches `top_p` [vocab] (nucleus sampling, Holtzman et al. 2020)."""
    weights, tokens = (scores - scores.max()).exp().sort(descending=True, stable=True)
    mass = weights.cumsum(dim=-1)  # not divided by their sum, so that tokens of one probability add up exactly
    return torch.zeros_like(scores, dtype=torch.bool).scatter(0, tokens, mass - weights < top_p * mass[-1])


def _gumbel(seed: int, step: int, size: int) -> NDArray[np.float64]:
    """Draw Gumbel noise that depends on nothing but its arguments (a counter-based generator, Salmon et al. 2011).

    Only the generator's bits are used: numpy promises that they stay as they are. A step has 2**64 of the counter's
    values to itself.
    """
    bits = np.random.Philox(key=seed, counter=step << 64).random_raw(size)
    uniform = ((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52  # strictly between 0 and 1
    noise: NDArray[np.float64] = -np.log(-np.log(uniform))
    return noise
