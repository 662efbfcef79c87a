"""Recovery from a lack of device memory in the middle of a step: make room, try once more, then raise an error.

Knows no model. Called by the engine's thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from model.request import DeviceMemoryError

Result = TypeVar("Result")


def with_room(work: Callable[[], Result], make_room: Callable[[], None]) -> Result:
    """Run some work on the device; if its memory runs out, make room and do all of it once more.

    Args:
        work: may be done twice, the first time up to any point.
        make_room: frees what can be freed.

    Raises:
        DeviceMemoryError: there was no room the second time either.
    """
    try:
        return work()
    except torch.OutOfMemoryError:
        pass  # the traceback holds on to the tensors of the failed attempt; it ends with this block
    make_room()
    return with_room_once(work, make_room)


def with_room_once(work: Callable[[], Result], make_room: Callable[[], None]) -> Result:
    """Run work that must not be repeated, because it changes state in place; if memory runs out, make room and fail.

    Args:
        work: the work.
        make_room: frees what can be freed.

    Raises:
        DeviceMemoryError: memory ran out.
    """
    try:
        return work()
    except torch.OutOfMemoryError as error:
        reason = str(error).partition("\n")[0]
    make_room()
    raise DeviceMemoryError(reason)
