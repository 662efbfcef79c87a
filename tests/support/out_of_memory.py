"""A device that has no memory left, as the network notices it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from model.network.pheye import Pheye


def run_out_of_memory(monkeypatch: pytest.MonkeyPatch, operation: str, *, times: int, late: bool = False) -> None:
    """Make the next calls of one of the network's operations fail as CUDA does.

    Args:
        operation: a method of `Pheye`.
        times: how many calls fail; later ones work.
        late: whether they fail when all is done, and not before.
    """
    real, left = getattr(Pheye, operation), [None] * times

    def fail_at_first(*args: Any, **kwargs: Any) -> Any:
        if left and not late:
            left.pop()
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        done = real(*args, **kwargs)
        if left:
            left.pop()
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return done

    monkeypatch.setattr(Pheye, operation, fail_at_first)
