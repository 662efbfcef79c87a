"""Checkpoints of a run: trained tensors, the optimizer's state, and where the run stands.

Each is a folder that appears whole or not at all, however the process ends; the last two are kept. Nothing in them is
unpickled. Knows no model and no data. Written by the main process alone, read by all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.whole_files import PARTIAL, appearing_whole

_KEPT = 2
_FREE = ("micro_batch", "checkpoint_steps")  # of a recipe: they change no result
_TENSORS, _OPTIMIZER, _PLACE = "trained.safetensors", "optimizer.pt", "place.json"


class SnapshotError(ValueError):
    """Checkpoint that cannot be continued; the message says which and why."""


@dataclass(frozen=True, slots=True)
class TrainingPosition:
    """Position of a run in its stages and steps.

    Attributes:
        stage: number of the stage, from 0.
        step: steps of the stage that are done.
        done: steps that are done in the whole run.
        recipe: what it follows, as plain data.
        began: what else it was begun with, as plain data.
    """

    stage: int
    step: int
    done: int
    recipe: Mapping[str, Any]
    began: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Checkpoint with everything a run needs to go on as if it had never stopped."""

    place: TrainingPosition
    tensors: Mapping[str, Tensor]
    optimizer: Mapping[str, Any]


def save_snapshot(folder: Path, snapshot: Snapshot) -> Path:
    """Write a checkpoint beside the others under `folder`, then delete all but the last two.

    Raises:
        OSError: it cannot be written; those that were there are there still.
    """
    name = f"{snapshot.place.done:09d}"
    with appearing_whole(folder / name) as partial:
        save_file({name: tensor.contiguous() for name, tensor in snapshot.tensors.items()}, partial / _TENSORS)
        torch.save(dict(snapshot.optimizer), partial / _OPTIMIZER)
        (partial / _PLACE).write_text(json.dumps(asdict(snapshot.place)) + "\n", encoding="utf-8")
        shutil.rmtree(folder / name, ignore_errors=True)
    for old in [*_finished(folder)[:-_KEPT], *folder.glob(PARTIAL + "*")]:
        shutil.rmtree(old, ignore_errors=True)
    return folder / name


def latest_snapshot(folder: Path) -> Snapshot | None:
    """Return the checkpoint of the latest step; None if there is none.

    Raises:
        SnapshotError: it cannot be read.
    """
    finished = _finished(folder)
    if not finished:
        return None
    path = finished[-1]
    try:
        place = TrainingPosition(**json.loads((path / _PLACE).read_text(encoding="utf-8")))
        optimizer = torch.load(path / _OPTIMIZER, map_location="cpu", weights_only=True)
        return Snapshot(place, load_file(path / _TENSORS), optimizer)
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise SnapshotError(f"{path}: not a checkpoint that can be continued: {error}") from None


def check_same_run(found: TrainingPosition, ours: TrainingPosition) -> None:
    """Refuse to resume a run that was begun differently; only options that leave results alone may differ.

    Raises:
        SnapshotError: the message names what differs.
    """
    saved, wanted = (json.loads(json.dumps({**place.recipe, **place.began})) for place in (found, ours))
    known = saved.keys() | ours.recipe.keys()
    for key in sorted(known - set(_FREE)):
        if saved.get(key) != wanted.get(key):
            was = f"was begun with {key} {saved.get(key)}, not {wanted.get(key)}"
            raise SnapshotError(f"the run {was}; continue it as it was begun, or choose another folder")


def _finished(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("[0-9]" * 9) if path.is_dir())
