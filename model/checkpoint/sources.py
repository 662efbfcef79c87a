"""Lookup of a model's files by its name: the embedded model, a folder, or the hub and its cache.

Knows which files a checkpoint has and where they are kept, not what is in them. Needs no torch, and imports the hub's
library only when something is fetched. May be called from any thread.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from model.checkpoint.files import check_folder, read_json_object, shown
from model.checkpoint.hub import unreachable, without_hub

logger = logging.getLogger("pheye.checkpoint")

EMBEDDED: Mapping[str, Path] = {"pheye-tiny": Path(__file__).parents[1] / "weights" / "pheye-tiny"}
ABOUT = "about.json"  # what the model knows, in words; optional
RECORD = "training.json"  # how its weights were made; optional
WEIGHT_FILES = ("model.safetensors", "checkpoint.pt")
TOKENIZER_FILES = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
]
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
NAMED = ("encoder", "decoder", "tokenizer")  # keys of config.json that name a folder or a hub repository


class CheckpointError(ValueError):
    """Checkpoint that cannot be served; the message names the file or tensor and what was expected."""


class HubCacheError(OSError):
    """The hub's cache cannot be written: it is full or read-only."""

    def __str__(self) -> str:
        return str(self.strerror)


def local_folder(source: str) -> Path | None:
    """Return the folder of the embedded model or of a path on this machine; None for anything else."""
    if source in EMBEDDED:
        return EMBEDDED[source]
    return Path(source) if Path(source).is_dir() else None


def folder_of(source: str, revision: str | None) -> Path:
    """Return the folder that `source` names: the embedded model's, one on this machine, or one fetched from the hub.

    Raises:
        CheckpointError: there is none; the message says where it was looked for.
    """
    here = local_folder(source)
    if here is not None:
        return here
    wanted = ["config.json", ABOUT, RECORD, *WEIGHT_FILES, *(f"{key}/*" for key in NAMED)]
    return Path(fetch(source, revision, wanted))


def named_folder(folder: Path, key: str, files: list[str]) -> Path:
    """Return the folder that `config.json` names: inside the checkpoint, or fetched from the hub.

    Raises:
        CheckpointError: there is none, or it is elsewhere on this machine: a stranger may have written the name.
    """
    named = str(read_json_object(folder / "config.json").get(key))
    if not named or "\0" in named or Path(named).is_absolute() or ".." in Path(named).parts:
        raise CheckpointError(
            f"{folder}/config.json: {key}: {shown(named)!r} is neither a folder inside the checkpoint nor a hub id"
        )
    if os.path.isdir(folder / named):
        return check_folder(folder / named, folder)
    return Path(fetch(named, None, files))


def unpinned(folder: Path) -> tuple[str, ...]:
    """List the hub repositories that `config.json` names: no revision of the checkpoint pins them.

    Raises:
        CheckpointFileError: there is no such file, or it is no JSON object.
    """
    keys = read_json_object(folder / "config.json")
    named = [keys[key] for key in NAMED if isinstance(keys.get(key), str) and "\0" not in keys[key]]
    return tuple(dict.fromkeys(shown(name) for name in named if not os.path.isdir(folder / name)))


def warn_of_unpinned(source: str, folder: Path, revision: str | None) -> None:
    """Say what a revision does not pin, to those who have asked for one."""
    others = unpinned(folder) if revision is not None else ()
    if others:
        logger.warning(
            "%s: revision %s does not pin %s, which its config.json names; `pheye convert` writes a folder with all",
            shown(source),
            shown(revision),
            ", ".join(others),
        )


def fetch(repository: str, revision: str | None, files: str | list[str]) -> str:
    """Fetch from the hub or its cache; HF_HUB_OFFLINE, HF_HOME and HF_TOKEN mean what they mean everywhere.

    A hub that does not answer at once is not asked again and again: what the cache has is taken.

    Raises:
        CheckpointError: neither has it; the message says what to do.
        HubCacheError: there is no room for it.
    """
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    away = unreachable()
    try:
        if isinstance(files, str):
            return hf_hub_download(repository, files, revision=revision, local_files_only=away is not None)
        return str(
            snapshot_download(repository, revision=revision, allow_patterns=files, local_files_only=away is not None)
        )
    except HFValidationError:
        raise CheckpointError(f"{shown(repository)}: neither a folder nor a hub repository id") from None
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        _check_room(repository, error)
        if away is not None:
            raise CheckpointError(without_hub(repository, away)) from None
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"{repository}: there is no such folder, and the hub did not give it: {reason}") from None


def _check_room(repository: str, error: Exception) -> None:
    """Raise again what went wrong on our own disk, with the place."""
    from huggingface_hub.constants import HF_HUB_CACHE

    cause: BaseException | None = error
    while cause is not None:  # the hub's library wraps what happened
        if isinstance(cause, OSError) and cause.errno in _NO_ROOM:
            place = f"{cause.filename}: " if cause.filename else ""
            reason = f"{place}{cause.strerror or cause}"
            words = f"{repository}: the hub's cache {HF_HUB_CACHE} cannot keep it: {reason}"
            raise HubCacheError(cause.errno, words) from None
        cause = cause.__cause__ or cause.__context__
