"""Tokens that are drawn on the device and on the host from the same logits, settings and seeds: all must be equal.

One thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from model.bench.gpu.item import Data, Item, PartInput
from model.bench.gpu.verdict import same
from model.request import Sampling
from model.runtime.hardware import resolve_device
from model.runtime.sampling import choose

ROWS, VOCABULARY = 64, 51_200
TEMPERATURES, SHARES = (0.0, 0.3, 0.7, 1.0, 1.5), (1.0, 0.95, 0.5)


def items(given: PartInput) -> Iterator[Item]:
    """Flat logits, in which many tokens are likely, and steep ones."""
    device = resolve_device(given.device)
    for spread in (0.5, 3.0):
        yield Item(f"sampled = host's, logits of spread {spread:g}", partial(sampled, device, spread), 60.0)


def sampled(device: torch.device, spread: float) -> Data:
    """Draw a token for rows with all kinds of settings; then one for rows that all want the same."""
    logits = spread * torch.randn((ROWS, VOCABULARY), generator=torch.Generator().manual_seed(5))
    chance = np.random.default_rng(3)
    settings = [
        Sampling(
            temperature=TEMPERATURES[row % len(TEMPERATURES)],
            top_p=SHARES[row % len(SHARES)],
            seed=int(chance.integers(2**63)),
        )
        for row in range(ROWS)
    ]
    steps = [row * 7 % 200 for row in range(ROWS)]
    here, there = (choose(logits.to(where), settings, steps) for where in (device, torch.device("cpu")))
    return same([[token] for token in here], [[token] for token in there])
