"""Turns with a peer: in pairs, and again where other work disturbed one; chosen by that work, never by a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from model.bench.peers.turns import Turns, take_turns


@dataclass
class ToldWork:
    """Other work: that of a look before a pair, then that of the pair, and so on."""

    noise: float | None

    def cores(self) -> float | None:
        return self.noise


def turns(peer: Sequence[float], ours: Sequence[float], noise: Sequence[float | None], repeats: int) -> Turns:
    """Take turns that last as told, each after a quiet look; the first of each side is not counted."""
    theirs, mine = iter([99.0, *peer]), iter([99.0, *ours])
    watched = iter([ToldWork(told) for pair in noise for told in (0.0, pair)])
    return take_turns(lambda: next(theirs), lambda: next(mine), repeats, lambda: next(watched), lambda _: None)


def test_quiet_pairs_are_taken_once() -> None:
    found = turns([3.0, 4.0], [2.0, 2.0], [0.0, 0.1], repeats=2)
    assert (found.race.baseline_s.median, found.race.fast_s.median, found.race.ratio.median) == (3.5, 2.0, 1.75)
    assert found.others_cores == 0.05


def test_disturbed_pairs_are_taken_again_and_the_quietest_kept() -> None:
    found = turns([9.0, 3.0, 9.0, 5.0], [1.0, 2.0, 1.0, 2.0], [1.5, 0.0, 0.9, 0.0], repeats=2)
    assert (found.race.baseline_s.median, found.race.ratio.median, found.others_cores) == (4.0, 2.0, 0.0)


def test_on_a_machine_that_stays_busy_the_tries_end() -> None:
    found = turns([5.0, 4.0], [1.0, 1.0], [1.5, 0.5], repeats=1)
    assert (found.race.baseline_s.median, found.others_cores) == (4.0, 0.5)


def test_a_pair_waits_for_a_quiet_moment() -> None:
    watched, looks = iter([ToldWork(noise) for noise in (1.0, 0.9, 0.1, 0.0)]), list[float]()
    found = take_turns(lambda: 3.0, lambda: 2.0, 1, lambda: next(watched), looks.append)
    assert (len(looks), found.others_cores) == (3, 0.0)


def test_where_the_system_does_not_tell_every_pair_counts() -> None:
    unknown: Iterator[None] = iter([None, None])
    found = turns([3.0, 3.0], [2.0, 2.0], list(unknown), repeats=2)
    assert (found.race.ratio.median, found.others_cores) == (1.5, None)
