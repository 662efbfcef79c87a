"""Targets of pheye-tiny: the scores that its evaluations should reach, named as in their tables. Data and one test.

Pure; any thread or process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_Line = tuple[str, str, str]  # data set, metric, group


@dataclass(frozen=True, slots=True)
class Target:
    """Score to reach, 0 to 100, or not to exceed."""

    score: float
    at_most: bool = False

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.score:g}"

    def met(self, score: float) -> bool:
        """Return whether a score is good enough.

        >>> Target(90).met(90.0), Target(1, at_most=True).met(2.0)
        (True, False)
        """
        return score <= self.score if self.at_most else score >= self.score


TARGETS: Mapping[_Line, Target] = {
    ("easy-vqa", "exact match", "all"): Target(99),
    ("scenes", "colours and shapes", "all"): Target(97),
    ("scenes", "counting", "all"): Target(97),
    ("scenes", "signs read", "all"): Target(90),
    ("things", "things named", "all"): Target(60),
    ("outside", "says it does not know", "photographs, captions"): Target(95),
    ("outside", "says it does not know", "photographs, sign questions"): Target(95),
    ("outside", "signs read", "on photographs"): Target(85),
    ("outside", "own scenes refused", "all"): Target(1, at_most=True),
}


def target_of(dataset: str, metric: str, group: str) -> Target | None:
    """Return the target of a line of a table; None if there is none."""
    return TARGETS.get((dataset, metric, group))
