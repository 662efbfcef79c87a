"""Turns of two sides that time themselves, as a peer's own server does. Knows no tensors. One thread."""

from __future__ import annotations

from collections.abc import Callable

from model.bench.timing import Race

Sample = Callable[[], float]  # does the work once and returns its seconds


def take_turns(peer: Sample, ours: Sample, repeats: int) -> Race:
    """Time both sides in turns, the peer first, after a turn each that is not counted.

    >>> take_turns(lambda: 3.0, lambda: 2.0, 2).ratio.median
    1.5
    """
    peer()
    ours()
    pairs = [(peer(), ours()) for _ in range(repeats)]
    return Race.of([theirs for theirs, _ in pairs], [mine for _, mine in pairs])
