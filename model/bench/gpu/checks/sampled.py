"""Equality of sampling on the device and on the host, from the same logits, settings and seeds.

One thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from model.bench.gpu.checks.verdict import same
from model.bench.gpu.item import Data, Item, PartInput
from model.request import Sampling
from model.runtime.hardware import resolve_device
from model.runtime.sampling.device import FAILED, choose_on_device
from model.runtime.sampling.host import choose

ROWS, VOCABULARY = 64, 51_200
BROKEN = 17  # a row whose logits are not numbers
TEMPERATURES, SHARES = (0.0, 0.3, 0.7, 1.0, 1.5), (1.0, 0.95, 0.5)


def items(given: PartInput) -> Iterator[Item]:
    """List flat logits, in which many tokens are likely, and steep ones; some rows are not finite."""
    device = resolve_device(given.device)
    for spread in (0.5, 3.0):
        words = f"logits of spread {spread:g}"
        yield Item(f"sampled by steps = host's, {words}", partial(sampled, device, spread, by_steps=True), 60.0)
        yield Item(f"sampled one by one = host's, {words}", partial(sampled, device, spread, by_steps=False), 60.0)


def sampled(device: torch.device, spread: float, *, by_steps: bool) -> Data:
    """Draw a token for rows with all kinds of settings, on the device as recorded steps do, or as eager ones."""
    logits = spread * torch.randn((ROWS, VOCABULARY), generator=torch.Generator().manual_seed(5))
    logits[BROKEN] = torch.nan
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
    there = choose(logits, settings, steps)
    way = _by_steps if by_steps else choose
    here = way(logits.to(device), settings, steps)
    some = [row for row in range(ROWS) if row != BROKEN]
    return same([[here[row]] for row in some], [[there[row]] for row in some], broken_row=here[BROKEN])


def _by_steps(logits: Tensor, settings: Sequence[Sampling], steps: Sequence[int]) -> list[int | None]:
    device = logits.device
    temperature, top_p = (
        torch.tensor([getattr(each, name) for each in settings], device=device, dtype=torch.float64)
        for name in ("divisor", "top_p")
    )
    seed = torch.tensor([each.seed for each in settings], device=device)
    tokens = choose_on_device(logits, temperature, top_p, seed, torch.tensor(steps, device=device))
    return [None if token == FAILED else token for token in tokens.tolist()]
