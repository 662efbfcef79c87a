"""Files that a user names, read whole but never without end: a device, or a link to one, may give bytes forever.

Knows nothing of what is in them. Any thread.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO

MOST_BYTES = 1 << 30  # of anything that a command reads whole: no image is larger, nor any list of questions
_PIECE_BYTES = 1 << 20  # taken at a time from what does not say its size


def read_at_most(file: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """Read a file; of one that is longer, the first `most_bytes` and one more.

    A size is not asked for: pipes, devices and the files of `/proc` have none.

    Raises:
        OSError: it cannot be read.
    """
    with file.open("rb") as opened:
        return take_at_most(opened, most_bytes)


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
