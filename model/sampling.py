"""Choosing the next token of every row from its own logits, settings and seed.

Knows no requests. Pure; called by the engine's thread.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from model.request import Sampling


def choose(logits: Tensor, samplings: Sequence[Sampling], steps: Sequence[int]) -> list[int | None]:
    """One token for each row.

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
        elif samplings[row].temperature > 0:
            tokens[row] = _draw(logits[row], samplings[row], steps[row])
    return tokens


def _draw(logits: Tensor, sampling: Sampling, step: int) -> int:
    """Nucleus sampling: from the fewest tokens whose probability reaches `top_p` (Holtzman et al. 2020)."""
    probabilities = torch.softmax(logits.double() / sampling.temperature, dim=-1)
    ordered, tokens = probabilities.sort(descending=True, stable=True)
    reached = ordered.cumsum(dim=-1)
    kept = int(torch.searchsorted(reached, sampling.top_p).clamp(max=len(reached) - 1)) + 1
    point = _uniform(sampling.seed, step) * float(reached[kept - 1])
    return int(tokens[int(torch.searchsorted(reached[:kept], point, right=True).clamp(max=kept - 1))])


def _uniform(seed: int, step: int) -> float:
    """A number in [0, 1) that depends on nothing but its arguments (a counter-based generator, Salmon et al. 2011)."""
    return float(np.random.Generator(np.random.Philox(key=seed, counter=step)).random())
