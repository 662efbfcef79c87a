"""Confidence of an answer: the mean log-probability of its tokens, the same number wherever answers are put together.

The end token counts: the decision to end is a part of the answer, so the confidence times the completion tokens is the
log-probability of the whole. Pure; safe from any thread.
"""

from __future__ import annotations

from collections.abc import Sequence

DIGITS = 6  # of a confidence, and of a probability


def confidence_of(logprobs: Sequence[float]) -> float | None:
    """Return the mean of tokens' log-probabilities, rounded; None without tokens.

    >>> confidence_of([-0.5, -0.25]), confidence_of([-1e-9]), confidence_of([])
    (-0.375, 0.0, None)
    """
    return round(sum(logprobs) / len(logprobs), DIGITS) + 0.0 if logprobs else None  # + 0.0: never -0.0
