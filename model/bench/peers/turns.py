"""Turns of two sides that time themselves, as a peer's own server does. Knows no tensors. One thread.

Other work on the machine slows one side more than the other (threads that wait for each other in a loop suffer most).
So a pair of turns waits for a quiet moment, and pairs that were disturbed are taken again, both within bounds. What is
kept is chosen by that work, never by a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

from model.bench.peers.others import OtherWork
from model.bench.timing import Race

QUIET_CORES = 0.2  # in use by others, up to which a pair counts as undisturbed
_TRIES = 2  # times as many pairs as are kept, at most
_LOOK_S = 0.5
_WAITS = 40  # looks in all that may find the machine busy

Sample = Callable[[], float]  # does the work once and returns its seconds


class Disturbance(Protocol):
    """Work of others since it was made."""

    def cores(self) -> float | None:
        """Return the mean number of cores that others used; None where the system does not tell."""


@dataclass(frozen=True, slots=True)
class Turns:
    """Race of the pairs that were kept, and the cores that others used during them, where the system tells."""

    race: Race
    others_cores: float | None


@dataclass(frozen=True, slots=True)
class _Pair:
    peer_s: float
    ours_s: float
    others_cores: float | None

    @property
    def noise(self) -> float:
        return self.others_cores or 0.0


def take_turns(
    peer: Sample,
    ours: Sample,
    repeats: int,
    watched: Callable[[], Disturbance] = OtherWork,
    sleep: Callable[[float], None] = time.sleep,
) -> Turns:
    """Time both sides in turns, the peer first, after a turn each that is not counted.

    Args:
        peer: one side.
        ours: the other.
        repeats: pairs that are kept: the quietest.
        watched: begins to watch other work.
        sleep: waits for so many seconds.
    """
    peer()
    ours()
    waits = _WAITS
    pairs: list[_Pair] = []
    while len(pairs) < _TRIES * repeats and sum(pair.noise <= QUIET_CORES for pair in pairs) < repeats:
        while waits and not _quiet(watched(), sleep):
            waits -= 1
        others = watched()
        peer_s, ours_s = peer(), ours()
        pairs.append(_Pair(peer_s, ours_s, others.cores()))
    kept = sorted(pairs, key=lambda pair: pair.noise)[:repeats]
    race = Race.of([pair.peer_s for pair in kept], [pair.ours_s for pair in kept])
    told = [pair.others_cores for pair in kept if pair.others_cores is not None]
    return Turns(race, fmean(told) if told else None)


def _quiet(others: Disturbance, sleep: Callable[[float], None]) -> bool:
    """Look at other work for a moment in which this process does nothing."""
    sleep(_LOOK_S)
    return (others.cores() or 0.0) <= QUIET_CORES
