"""The exponential moving average behind step budgets, costs and waiting times.

Pure; safe from any thread or process.
"""

from __future__ import annotations


def moving_average(average: float, newest: float, weight: float) -> float:
    """Return the average after one more measurement, which counts `weight`; 0.0 has seen none yet.

    >>> moving_average(0.0, 8.0, 0.25), moving_average(8.0, 4.0, 0.25)
    (8.0, 7.0)
    """
    return newest if average == 0.0 else (1 - weight) * average + weight * newest
