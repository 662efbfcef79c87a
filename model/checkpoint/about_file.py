"""`about.json` of a checkpoint: what its model knows, in words for people. Optional, and read as a stranger's file.

Knows no tensors. Safe from any thread or process.
"""

from __future__ import annotations

from pathlib import Path

from model.about import About, AboutError, parse_about
from model.checkpoint.files import read_json_object
from model.checkpoint.sources import ABOUT, CheckpointError

_MAX_BYTES = 1 << 16


def read_about(folder: Path) -> About | None:
    """Read what a checkpoint says of its model; None if it says nothing.

    Args:
        folder: the checkpoint's.

    Raises:
        CheckpointError: the file is there and is not what it should be; the message names it and the field.
        CheckpointFileError: it is no JSON object, too large, or no file of this folder.
    """
    path = folder / ABOUT
    if not path.is_symlink() and not path.exists():
        return None
    try:
        return parse_about(read_json_object(path, _MAX_BYTES))
    except AboutError as error:
        raise CheckpointError(f"{path}: {error}") from None
