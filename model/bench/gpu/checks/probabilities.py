"""Probability checks: log-probabilities of tokens, of their alternatives and of choices are a CPU's. One thread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from model.bench.gpu.checks.subjects import MICRO, subject
from model.bench.gpu.checks.verdict import within
from model.bench.gpu.item import Data, Item, PartInput
from model.bench.gpu.rows import Rows
from model.bench.gpu.variants import EAGER, VARIANTS, DecodeVariant, new_runner
from model.runtime.hardware import resolve_device

CPU = torch.device("cpu")
ROWS, STEPS, TOP = 3, 4, 5
BOUND = 1e-3  # of a log-probability; the sum over a choice's tokens included
CHOICES = ("yes", "no", "yes and no", "\u00e9")


def items(given: PartInput) -> Iterator[Item]:
    """List the check of each decode form."""
    device = resolve_device(given.device)
    for variant in VARIANTS:
        yield Item(f"probabilities = CPU's {variant.name}", partial(probabilities_as_cpu, device, variant), 60.0)


def probabilities_as_cpu(device: torch.device, variant: DecodeVariant) -> Data:
    """Check that rows are told the same here and eagerly on a CPU."""
    here, there = _told(device, variant), _told(CPU, EAGER)
    return within(float(np.abs(here - there).max()), BOUND, numbers=len(here))


def _told(device: torch.device, variant: DecodeVariant) -> NDArray[np.float64]:
    """Return all that some rows are told of each token, and the choice of one more row."""
    runner = new_runner(subject(MICRO, CPU), device, torch.float32, variant, slots=ROWS + 1, context_tokens=256)
    rows = Rows(runner)
    image = rows.image(0)
    rows.encode([image])
    new = [replace(rows.new(slot, image, rows.prompt(slot)), top_logprobs=TOP) for slot in range(ROWS)]
    offered = replace(rows.new(ROWS, image, rows.prompt(ROWS)), choices=runner.choice_tree(CHOICES))
    runner.prefill([*new, offered])
    choice = runner.choice(ROWS)
    told = [*choice.logprobs, *np.log(choice.probabilities)] if choice is not None else [float("nan")]
    for step in range(STEPS):
        if step:
            runner.decode(range(ROWS))
        for slot in range(ROWS):
            newest = runner.logprob(slot)
            told += [newest.logprob, *(logprob for _, logprob in newest.top)]
    rows.close([image])
    return np.array(told)
