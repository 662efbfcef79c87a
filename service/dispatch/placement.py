"""Placement of rows on workers: the estimate by which the least loaded one is found. Pure."""

from __future__ import annotations


def expected_wait(rows: int, slots: int, *, here: bool) -> int:
    """Estimate a new row's wait for a worker, in rows: one that has the image's features, or will, is preferred.

    Args:
        rows: that the worker has and has not finished.
        slots: of the worker; 0 if it is not ready.
        here: whether the image is known to the worker, or is asked about by one of its rows.

    >>> expected_wait(9, 8, here=True), expected_wait(2, 8, here=False)
    (1, 2)
    """
    return rows - (slots if here else 0)
