"""The process that listens on a TCP port of this machine, as far as Linux tells it.

Reads /proc; of another user's processes nothing is known. Any thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_LISTENS = "0A"  # state of a socket in /proc/net/tcp


def listener_of(port: int) -> str | None:
    """Return the name and id of the process that listens on a port; None if that is not known."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(port)}
    if not sockets:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.readlink(file) in sockets for file in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text(encoding='utf-8').strip()}, process {process.name}"
        except OSError:  # another user's, or it has ended
            continue
    return None


def _inodes(port: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if int(fields[1].rpartition(":")[2], 16) == port and fields[3] == _LISTENS:
                yield fields[9]
