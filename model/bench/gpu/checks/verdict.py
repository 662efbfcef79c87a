"""Verdicts of checks: passed or not, the value found and the bound allowed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from model.bench.gpu.item import Data

Answer = Sequence[int | None]


def within(found: float, bound: float, **more: Any) -> Data:
    """Pass if the value is no more than the bound; NaN never passes.

    >>> within(0.5, 1.0)["verdict"], within(float("nan"), 1.0)["verdict"]
    ('passed', 'failed')
    """
    return {"verdict": "passed" if found <= bound else "failed", "found": found, "bound": bound, **more}


def same(ours: Sequence[Answer], theirs: Sequence[Answer], **more: Any) -> Data:
    """Pass if every row has the same tokens, and none failed.

    >>> same([[1, 2], [3, 4]], [[1, 2], [3, 5]])["first_difference"]
    'row 1, token 1: 4 and 5'
    """
    pairs = list(zip(ours, theirs, strict=True))
    equal = sum(list(one) == list(other) and None not in one for one, other in pairs)
    passed = equal == len(pairs) > 0
    return {
        "verdict": "passed" if passed else "failed",
        "rows": len(pairs),
        "equal_rows": equal,
        "first_difference": None if passed else _first(pairs),
        **more,
    }


def _first(pairs: Sequence[tuple[Answer, Answer]]) -> str:
    for row, (ours, theirs) in enumerate(pairs):
        for place, (one, other) in enumerate(zip(ours, theirs, strict=False)):
            if one != other or one is None:
                return f"row {row}, token {place}: {one} and {other}"
    return "numbers of tokens"
