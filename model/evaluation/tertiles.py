"""Scores by tertile of the answer's area, and their change between two runs: does resolution help with fine details?

Source: arXiv 2501.02584, section 3.3 and Table 2. Cases whose area nobody knows are left out. Pure; any thread or
process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from model.evaluation.record import CaseAnswer
from model.evaluation.scoring import METRICS, scores

Tertile = Literal["fine", "medium", "broad"]  # bottom, middle and top third by area
TERTILES: tuple[Tertile, ...] = ("fine", "medium", "broad")
FEWEST = 3  # cases that make tertiles


class NotComparable(ValueError):
    """Runs that cannot be compared like this; the message says why."""


@dataclass(frozen=True, slots=True)
class ScoreChange:
    """Difference of a metric between two runs on the cases of a tertile, or on `all` of them.

    Attributes:
        metric: its name.
        tertile: which cases.
        cases: how many.
        before: mean score of the first run.
        after: mean score of the second.
    """

    metric: str
    tertile: str
    cases: int
    before: float
    after: float

    @property
    def relative(self) -> float | None:
        """Change in per cent of `before`; None where that is 0."""
        return 100.0 * (self.after - self.before) / self.before if self.before else None


def tertiles(areas: Mapping[str, float]) -> dict[str, Tertile]:
    """Assign each case to a third by its area; cases of equal area are ordered by name.

    Args:
        areas: case -> share of the image, above 0.

    Raises:
        NotComparable: there are fewer than three cases.
    """
    if len(areas) < FEWEST:
        raise NotComparable(f"areas are known for {len(areas)} cases; tertiles need {FEWEST} at least")
    order = sorted(areas, key=lambda name: (areas[name], name))
    return {name: TERTILES[3 * place // len(order)] for place, name in enumerate(order)}


def known_areas(answers: Sequence[CaseAnswer]) -> dict[str, float]:
    """Return the areas of those cases that have one."""
    return {each.case.id: each.case.area for each in answers if each.case.area is not None}


def changes(before: Sequence[CaseAnswer], after: Sequence[CaseAnswer]) -> list[ScoreChange]:
    """Compute the score by tertile in both runs, for each metric: all its cases first, then fine, medium and broad.

    Each metric's cases make tertiles of their own, since what they ask about differs in size. Metrics of which fewer
    than three cases have an area are left out.

    Args:
        before: one run, at the lower resolution for Table 2.
        after: another run on the same cases.

    Raises:
        NotComparable: the runs are not about the same cases, or too few of them have an area.
    """
    _check_same(before, after)
    found: list[ScoreChange] = []
    for kind in dict.fromkeys(each.case.kind for each in before):
        first, second = ([each for each in run if each.case.kind == kind] for run in (before, after))
        areas = known_areas(first)
        if len(areas) < FEWEST:
            continue
        parts = tertiles(areas)
        scored = [
            {each.case.id: score for each, score in zip(run, scores(run), strict=True)} for run in (first, second)
        ]
        for name in ("all", *TERTILES):
            ours = [case for case in areas if name in ("all", parts[case])]
            means = (fmean(score[case] for case in ours) for score in scored)
            found.append(ScoreChange(METRICS[kind], name, len(ours), *means))
    if not found:
        raise NotComparable(f"no metric has {FEWEST} cases whose area is known, which is what tertiles need")
    return found


def _check_same(before: Sequence[CaseAnswer], after: Sequence[CaseAnswer]) -> None:
    one, other = ({each.case.id: each.case for each in run} for run in (before, after))
    for name in one.keys() ^ other.keys():
        raise NotComparable(f"case {name} was answered in one run only; complete both, on the same cases")
    for name, case in one.items():
        if (case.references, case.kind, case.area) != (other[name].references, other[name].kind, other[name].area):
            raise NotComparable(f"case {name} is not the same in both runs")
