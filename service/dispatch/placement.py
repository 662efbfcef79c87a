"""Placement of rows on workers: the estimate by which the least loaded one is found. Pure."""

from __future__ import annotations


def expected_wait(rows: int, slots: int, share: float) -> float:
    """Estimate a new row's wait for a worker, in rows: one that has features of the image is preferred.

    Args:
        rows: that the worker has and has not finished.
        slots: of the worker; 0 if it is not ready.
        share: of the image's tiles whose features the worker has; 1 if one of its rows is about the image.

    >>> expected_wait(9, 8, 1.0), expected_wait(9, 8, 0.5), expected_wait(2, 8, 0.0)
    (1.0, 5.0, 2.0)
    """
    return rows - slots * share
