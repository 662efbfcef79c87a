"""Names of models, judged before anything slow: what is mistyped or incomplete is told at once, with the near miss.

Needs neither torch nor, but for an unknown hub repository, the network. `model.checkpoint.sources` finds the files, and
`model.checkpoint.checkpoint` judges what is in them. May be called from any thread.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

from model.checkpoint.files import CheckpointFileError, read_json_object, shown
from model.checkpoint.hub import is_cached, unreachable, without_hub
from model.checkpoint.sources import EMBEDDED, NAMED, WEIGHT_FILES, CheckpointError, local_folder
from model.config import GEOMETRIES, named_geometry

RANDOM = "random:"
PUBLISHED = tuple(f"miguelcarv/{name}" for name in GEOMETRIES if name.startswith("Pheye-"))
MOST_TYPOS = 2  # letters by which a name may differ from a published one and still be meant for it
KINDS = (
    "a model is a folder, a hub id (owner/name), random:NAME, or pheye-tiny, which is built in; published are "
    + ", ".join(PUBLISHED)
)
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def check_source(source: str, revision: str | None = None, *, weights: bool = True) -> None:
    """Check what can be known of a model by its name.

    Args:
        source: as `open_checkpoint` takes it.
        revision: commit, tag or branch; who names one has looked the repository up, so its name is taken as it is.
        weights: whether they are needed, beside the configuration.

    Raises:
        ConfigError, CheckpointError: there is no such model, or a part of it is missing; the
            message says what was probably meant, and what to do.
    """
    if source.startswith(RANDOM):
        named_geometry(source.removeprefix(RANDOM))
        return
    if not source.strip():
        raise CheckpointError(f"model: there is no name; {KINDS}")
    folder = local_folder(source)
    if folder is not None:
        _check_folder(source, folder, weights=weights)
    elif _is_repository(source):
        _check_repository(source, revision)
    else:
        raise CheckpointError(f"{shown(source)}: {_no_such(source)}")


def _check_folder(source: str, folder: Path, *, weights: bool) -> None:
    if not (folder / "config.json").exists():
        inside = sorted(path.parent for path in folder.glob("*/config.json") if _has_weights(path.parent))
        hint = f"; did you mean {inside[-1]}?" if inside else ""
        raise CheckpointError(f"{source}: there is no config.json in this folder, so it is no checkpoint{hint}")
    if weights and not _has_weights(folder):
        raise CheckpointError(
            f"{source}: there is no {' and no '.join(WEIGHT_FILES)} in this folder; the weights of the checkpoint are "
            "missing (or were not pulled by git-lfs)"
        )
    try:
        keys = read_json_object(folder / "config.json")
    except CheckpointFileError:
        return  # what is in the files is judged when they are loaded
    for key in NAMED:
        named = keys.get(key)
        if isinstance(named, str) and "/" not in named and not (folder / named).is_dir():
            raise CheckpointError(f"{source}: config.json names {key}: {shown(named)!r}, and there is no such folder")


def _has_weights(folder: Path) -> bool:
    return any((folder / name).exists() for name in WEIGHT_FILES)


def _is_repository(source: str) -> bool:
    """Say whether a name is one of a hub repository, and not rather that of a folder which is not there."""
    if not _REPOSITORY.fullmatch(source) or source.split("/")[0] in (".", ".."):
        return False
    return not (Path(source).parent.is_dir() and (Path(source).exists() or _near_folder(source)))


def _check_repository(source: str, revision: str | None) -> None:
    if is_cached(source, revision):
        return
    meant = near_published(source)
    if meant is not None and meant != source and revision is None:
        raise CheckpointError(f"{source}: there is no such model; did you mean {meant}?")
    away = unreachable()
    if away is not None:
        raise CheckpointError(without_hub(source, away))


def _no_such(source: str) -> str:
    """Say that a name is none, and what was probably meant."""
    if Path(source).is_file():
        return f"this is a file; name the folder of the checkpoint, {Path(source).parent}"
    near = _near(source, [*EMBEDDED, *GEOMETRIES]) if "/" not in source else None
    if near in EMBEDDED:
        return f"there is no such model; did you mean {near}?"
    if near is not None:
        published = [name for name in PUBLISHED if name.endswith(f"/{near}")]
        kinds = [*published, f"{RANDOM}{near} (random weights)"]
        return f"there is no such model; did you mean {' or '.join(kinds)}?"
    folder = _near_folder(source)
    hint = f"did you mean {folder}?" if folder else KINDS
    return f"there is no such {'folder' if '/' in source else 'model'}; {hint}"


def _near_folder(source: str) -> str | None:
    """Find a folder beside the one that was named whose name is close."""
    place = Path(source)
    try:
        beside = [each.name for each in place.parent.iterdir() if each.is_dir()]
    except OSError:
        return None
    near = _near(place.name, beside)
    return str(place.parent / near) if near else None


def _near(name: str, known: Iterable[str]) -> str | None:
    found = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), found, n=1, cutoff=0.75)
    return found[near[0]] if near else None


def near_published(source: str) -> str | None:
    """Find the published checkpoint that a name differs from by a letter or two.

    >>> near_published("miguelcarv/Pheye-x4-484"), near_published("miguelcarv/Pheye-x4-448-v2")
    ('miguelcarv/Pheye-x4-448', None)
    """
    closest = min(PUBLISHED, key=lambda name: _edits(source.lower(), name.lower()))
    return closest if _edits(source.lower(), closest.lower()) <= MOST_TYPOS else None


def _edits(one: str, other: str) -> int:
    """Count the letters to insert, leave out or replace to get from one name to the other (Levenshtein distance).

    >>> _edits("tinny", "tiny")
    1
    """
    before = list(range(len(other) + 1))
    for count, letter in enumerate(one, 1):
        row = [count]
        for place, wanted in enumerate(other):
            row.append(min(before[place] + (letter != wanted), before[place + 1] + 1, row[-1] + 1))
        before = row
    return before[-1]
