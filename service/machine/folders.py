"""Probe of the folders that a server would write to: image features, uploaded images, prepared weights. Any thread."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

from service.configuration.settings import Settings
from service.machine.finding import Finding

LEAST_SPACE_BYTES = 1 << 30


def folders(settings: Settings) -> Sequence[Finding]:
    """Find out whether each folder in the settings can be written to; none is made."""
    named = {
        "PHEYE_FEATURE_FOLDER": (settings.feature_folder, settings.feature_folder_bytes),
        "PHEYE_IMAGE_FOLDER": (settings.image_folder, settings.image_folder_bytes),
        "PHEYE_PREPARED_WEIGHTS_FOLDER": (settings.prepared_weights_folder, None),
    }
    return [_folder(name, path, limit) for name, (path, limit) in named.items() if path is not None]


def _folder(name: str, path: Path, limit_bytes: int | None) -> Finding:
    existing = next(each for each in (path, *path.absolute().parents) if os.path.lexists(each))
    try:
        with tempfile.TemporaryFile(dir=existing):
            about, free_bytes = existing.stat(), shutil.disk_usage(existing).free
    except OSError as error:
        words = f"{name}: {path} cannot be used: {error.strerror or error}"
        mend = f"{words}; make it a folder that this user may write to, or choose another"
        if limit_bytes is None:  # prepared weights, without which a server starts, too
            return Finding("folders", (f"{mend}; what is in it may still be read, and nothing is added",))
        return Finding("folders", (words,), (mend,))
    lines = [f"{name}: {path}{'' if existing == path else ', which will be made'}: {free_bytes / 1e9:.1f} GB free"]
    if limit_bytes is None and free_bytes < LEAST_SPACE_BYTES:
        lines.append("there is little room: make some")
    elif limit_bytes is not None and free_bytes < min(limit_bytes, LEAST_SPACE_BYTES):
        lines.append(f"there is little room: make some, or lower {name}_BYTES")
    if existing == path:
        lines.extend(_forgers(path, about))
    return Finding("folders", tuple(lines))


def _forgers(path: Path, about: os.stat_result) -> Sequence[str]:
    """Say who else may put things into a folder, whose names anybody can work out."""
    if about.st_mode & stat.S_IWOTH:
        mend = (
            "choose a folder of your own in it" if about.st_mode & stat.S_ISVTX else "chmod 700 it"
        )  # /tmp stays open
        return [f"every user of this machine may write to {path}, and so forge what is in it: {mend}"]
    if about.st_uid not in (0, os.geteuid()):
        return [f"{path} belongs to another user (uid {about.st_uid}), who may forge what is in it"]
    return ()
