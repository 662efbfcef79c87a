"""All correctness checks on a GPU, the most serious failures first. One thread."""

from __future__ import annotations

from collections.abc import Iterator

from model.bench.gpu.card import exact_float32
from model.bench.gpu.checks import equal, golden, probabilities, sampled, twin
from model.bench.gpu.item import Item, PartInput


def items(given: PartInput) -> Iterator[Item]:
    """List every check, computed in exact float32."""
    exact_float32()
    yield from golden.items(given)
    yield from twin.items(given)
    yield from equal.items(given)
    yield from sampled.items(given)
    yield from probabilities.items(given)
