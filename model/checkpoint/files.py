"""Reading of a checkpoint's files, which are the work of a stranger: bounded, and none outside its folder.

A file is a regular one that stays in its checkpoint, and small enough for what it is; a link may point anywhere, and a
pipe has no end. Knows no tensors. Safe from any thread or process.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

MAX_CONFIG_BYTES = 1 << 20
SHOWN_CHARS = 200


class CheckpointFileError(ValueError):
    """File of a checkpoint that is not read; the message names it and says why."""


def shown(text: object) -> str:
    """Show a stranger's words in a message: printable, and not too many.

    >>> shown("a.weight"), shown("a" + chr(10) + "b") == "a" + chr(92) + "nb"
    ('a.weight', True)
    """
    plain = str(text)[: SHOWN_CHARS + 1]
    printable = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in plain)
    return printable if len(plain) <= SHOWN_CHARS else printable[:SHOWN_CHARS] + "..."


def check_file(path: Path, max_bytes: int | None = None) -> Path:
    """Check that a file is a regular one in its own folder, or in the hub cache that its folder belongs to.

    Args:
        path: the file.
        max_bytes: most bytes of it; None for any number.

    Raises:
        CheckpointFileError: it is not there, no regular file, elsewhere or too large.
    """
    real = Path(os.path.realpath(path))
    if not real.exists():
        raise CheckpointFileError(f"{path}: there is no such file")
    if not real.is_file():
        raise CheckpointFileError(f"{path}: not a regular file")
    if not real.is_relative_to(_home(path.parent)):
        raise CheckpointFileError(f"{path}: a link to {shown(real)}, outside its folder; put the file itself there")
    size = real.stat().st_size
    if max_bytes is not None and size > max_bytes:
        raise CheckpointFileError(f"{path}: {size} bytes are more than the {max_bytes} such a file may have")
    return path


def check_folder(folder: Path, inside: Path) -> Path:
    """Check that a folder named by a checkpoint lies inside that checkpoint.

    Raises:
        CheckpointFileError: it lies elsewhere.
    """
    if not Path(os.path.realpath(folder)).is_relative_to(_home(inside)):
        raise CheckpointFileError(f"{folder}: outside the checkpoint that names it; put the folder itself there")
    return folder


def _home(folder: Path) -> Path:
    """Return the folder that links may not leave: this one, or the whole hub cache, which is made of links."""
    real = Path(os.path.realpath(folder))
    for place in (real, *real.parents):
        if place.name == "snapshots" and place.parent.name.startswith("models--"):
            return place.parents[1]
    return real


def read_json_object(path: Path, max_bytes: int = MAX_CONFIG_BYTES) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointFileError: as `check_file`; or it cannot be read, or is no JSON object.
    """
    check_file(path, max_bytes)
    try:
        raw = json.loads(path.read_bytes())
    except OSError as error:
        raise CheckpointFileError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise CheckpointFileError(f"{path}: not JSON: {shown(error)}") from None
    if not isinstance(raw, dict):
        raise CheckpointFileError(f"{path}: expected a JSON object")
    return raw
