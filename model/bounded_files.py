"""Files that a user names, read whole but never without end: a device, or a link to one, may give bytes forever.

Knows nothing of what is in them. Any thread.
"""

from __future__ import annotations

import errno
import io
import os
import select
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

MOST_BYTES = 1 << 30  # of anything that a command reads whole: no image is larger, nor any list of questions
_PIECE_BYTES = 1 << 20  # taken at a time from what does not say its size
_LOOK_MS = 100  # between two looks at whether somebody still waits


def read_at_most(file: Path, most_bytes: int = MOST_BYTES, stopped: Callable[[], bool] | None = None) -> bytes:
    """Read a file; of one that is longer, the first `most_bytes` and one more.

    A size is not asked for: pipes, devices and the files of `/proc` have none.

    Args:
        file: its path.
        most_bytes: that are wanted.
        stopped: says that nobody waits any more for a pipe without a writer; for threads, which no signal wakes.

    Raises:
        OSError: it cannot be read, or nobody waits for it.
    """
    with file.open("rb") if stopped is None or file.is_file() else _waiting(file, stopped) as opened:
        return take_at_most(opened, most_bytes)


def _waiting(file: Path, stopped: Callable[[], bool]) -> BinaryIO:
    return cast("BinaryIO", io.BufferedReader(_WaitingFile(file, stopped)))


class _WaitingFile(io.FileIO):
    """A pipe or a device that is waited for only while somebody wants what it has."""

    def __init__(self, file: Path, stopped: Callable[[], bool]) -> None:
        super().__init__(file, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK))
        self._stopped, self._poll = stopped, select.poll()
        self._poll.register(self, select.POLLIN)

    def readinto(self, buffer: Any) -> int:
        """Read what is there, once there is something, or every writer has gone."""
        while True:
            while not self._poll.poll(_LOOK_MS):
                if self._stopped():
                    raise OSError(errno.ECANCELED, "nobody waits for it any more")  # not EINTR, which is tried again
            if (count := super().readinto(buffer)) is not None:
                return count


def take_at_most(stream: BinaryIO, most_bytes: int = MOST_BYTES) -> bytes:
    """Read a stream as `read_at_most` reads a file.

    >>> take_at_most(io.BytesIO(b"abcdef"), 3), take_at_most(io.BytesIO(b"ab"), 3)
    (b'abcd', b'ab')
    """
    pieces, left = [], most_bytes + 1
    step = max(_size_of(stream), _PIECE_BYTES)  # a regular file comes in one piece, which is not copied
    while left and (piece := stream.read(min(left, step))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _size_of(stream: BinaryIO) -> int:
    try:
        return os.fstat(stream.fileno()).st_size
    except (OSError, io.UnsupportedOperation):  # it is in memory
        return 0
