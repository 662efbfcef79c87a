"""Lock of a folder's evictions: servers that make room at the same time do so one after another.

A hint, not a promise: it is the operating system's advisory lock (`flock`) on the folder itself, which some network
file systems do not have, and a server that has stopped must not hold up the others.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.api.image_folder.owner_directory import root_opened

WAIT_S = 1.0
_POLL_S = 0.01


@contextmanager
def eviction_lock(folder: Path) -> Iterator[bool]:
    """Keep other servers from evicting; yields False if that was not possible within a second.

    Raises:
        OSError: the folder cannot be opened.
    """
    with root_opened(folder) as root:
        yield _locked(root)  # until the folder is closed, or its process ends


def _locked(root: int) -> bool:
    end = time.monotonic() + WAIT_S
    while True:
        try:
            fcntl.flock(root, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > end:
                return False
            time.sleep(_POLL_S)
        except OSError:  # no such locks here
            return False
