"""Scenarios of the chaos tests: what is promised, what is done to the service, and how a run ended.

Knows no scenario by name: each file of this folder lists its own, `all_scenarios` gathers them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


class PromiseBrokenError(AssertionError):
    """A promise of the service did not hold; the message says how."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much violence: everything, or as much as fits into the test suite.

    Attributes:
        share: of the repetitions and of the time, above 0 up to 1.
    """

    share: float = 1.0

    def times(self, whole: int) -> int:
        """Scale a number of repetitions; at least one is left."""
        return max(1, round(whole * self.share))

    def seconds(self, whole_s: float) -> float:
        """Scale a duration; at least two seconds are left."""
        return max(2.0, whole_s * self.share)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A promise and the violence that tests it.

    Attributes:
        name: by which `--only` chooses it.
        promise: what an operator may rely on.
        violence: what is done to the service, in its full measure.
        run: does it and returns the result in words; raises `PromiseBrokenError` if the promise does not hold.
    """

    name: str
    promise: str
    violence: str
    run: Callable[[Scale], str]


def demand(condition: bool, otherwise: str) -> None:
    """Demand that a part of the promise holds.

    Raises:
        PromiseBrokenError: it does not.
    """
    if not condition:
        raise PromiseBrokenError(otherwise)
