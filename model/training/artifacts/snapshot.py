"""Checkpoints of a run: trained tensors, the optimizer's state, and where the run stands.

Each is a folder that appears whole or not at all, however the process ends; the last two are kept. Nothing in them is
unpickled. Knows no model and no data. Written by the main process alone, read by all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.whole_files import PARTIAL, appearing_whole

_KEPT = 2
_FREE = ("micro_batch", "checkpoint_steps")  # of a recipe: they change no result
_UNKNOWN_BEFORE = {
    "parts": "adapted",
    "validation": None,
    "rehearsal": None,
}  # what a run has that an older version began
_TENSORS, _OPTIMIZER, _PLACE = "trained.safetensors", "optimizer.pt", "place.json"
_UNREADABLE = (
    OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, EOFError, SafetensorError,
    UnpicklingError,
)  # fmt: skip
_CHECKPOINTS, _BEST = "checkpoints", "best"  # in the run's folder, and in the former


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
    with appearing_whole(folder / name, replacing=True) as partial:
        save_file({name: tensor.contiguous() for name, tensor in snapshot.tensors.items()}, partial / _TENSORS)
        with (partial / _OPTIMIZER).open("wb") as file:  # torch's own writer hides what the system says
            torch.save(dict(snapshot.optimizer), file)
        (partial / _PLACE).write_text(json.dumps(asdict(snapshot.place)) + "\n", encoding="utf-8")
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
        place = _read_place(path / _PLACE)
        optimizer = torch.load(path / _OPTIMIZER, map_location="cpu", weights_only=True)
        if not isinstance(optimizer, dict):
            raise SnapshotError(f"{_OPTIMIZER}: expected an optimizer's state")
        return Snapshot(place, load_file(path / _TENSORS), optimizer)
    except _UNREADABLE as error:
        raise _broken(path, error) from None


def _read_place(file: Path) -> TrainingPosition:
    values = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise SnapshotError(f"{file.name}: expected an object")
    for key in ("stage", "step", "done"):
        value = values.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise SnapshotError(f"{file.name}: {key}: {value!r} is not a number from 0 on")
    for key in ("recipe", "began"):
        if not isinstance(values.get(key, {}), dict):
            raise SnapshotError(f"{file.name}: {key}: {values[key]!r} is not an object")
    return TrainingPosition(**values)


def _broken(path: Path, error: object) -> SnapshotError:
    said = str(error).partition("\n")[0] or type(error).__name__  # torch says much more
    return SnapshotError(
        f"{path}: not a checkpoint that can be continued: {said}; delete this folder to go on from the one before it"
    )


def check_fits(folder: Path, found: Snapshot, steps: Sequence[int], trained: Mapping[str, Tensor]) -> None:
    """Refuse a checkpoint whose place or tensors are not those of a run.

    Args:
        folder: of the run.
        found: the checkpoint.
        steps: of each stage.
        trained: what the run trains, by name.

    Raises:
        SnapshotError: the message names what is wrong.
    """
    place, path = found.place, folder / _CHECKPOINTS / f"{found.place.done:09d}"
    if (
        place.stage >= len(steps)
        or place.step > steps[place.stage]
        or sum(steps[: place.stage]) + place.step != place.done
    ):
        raise _broken(
            path,
            f"{_PLACE}: stage {place.stage}, step {place.step}, {place.done} done is no place in stages of "
            f"{', '.join(map(str, steps))} steps",
        )
    for name, tensor in trained.items():
        if name not in found.tensors or found.tensors[name].shape != tensor.shape:
            raise _broken(path, f"{_TENSORS}: {name} is missing or of another shape")


def save_best(run: Path, done: int, tensors: Mapping[str, Tensor]) -> None:
    """Keep the trained tensors of the best validation, in place of the best before.

    Raises:
        OSError: they cannot be written.
    """
    target = run / _CHECKPOINTS / _BEST
    with appearing_whole(target, replacing=True) as partial:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, partial / _TENSORS)
        (partial / _PLACE).write_text(json.dumps({"done": done}) + "\n", encoding="utf-8")


def drop_best(run: Path) -> None:
    """Delete the best weights of a run that left no checkpoint: a new run in its folder must not end with them.

    Raises:
        OSError: they cannot be deleted.
    """
    if (run / _CHECKPOINTS / _BEST).exists():
        shutil.rmtree(run / _CHECKPOINTS / _BEST)


def read_best(run: Path) -> tuple[int, dict[str, Tensor]] | None:
    """Return the trained tensors of the best validation, and after how many steps it was; None if there was none.

    Raises:
        SnapshotError: they cannot be read.
    """
    path = run / _CHECKPOINTS / _BEST
    if not path.exists():
        return None
    try:
        place = json.loads((path / _PLACE).read_text(encoding="utf-8"))
        return int(place["done"]), load_file(path / _TENSORS)
    except _UNREADABLE as error:
        raise SnapshotError(f"{path}: the best weights cannot be read: {error}") from None


def check_same_run(folder: Path, found: TrainingPosition, ours: TrainingPosition) -> None:
    """Refuse to resume a run that was begun differently; only options that leave results alone may differ.

    Other things that an older version did not write down yet are not compared.

    Raises:
        SnapshotError: the message names what differs, and what to do.
    """
    saved, wanted = (json.loads(json.dumps({**place.recipe, **place.began})) for place in (found, ours))
    saved = {key: value for key, value in _UNKNOWN_BEFORE.items() if key in wanted} | saved
    known = saved.keys() | ours.recipe.keys()
    different = [key for key in sorted(known - set(_FREE)) if _meant(key, saved) != _meant(key, wanted)]
    if different:
        was = "; ".join(_in_words(key, saved.get(key), wanted.get(key)) for key in different)
        raise SnapshotError(
            f"{folder}: the run in it {was}. --resume goes on with a run as it was begun: type it so, or choose "
            "another --output for a new run (--fresh is no way round: it begins the weights anew, not the folder)"
        )


def _meant(key: str, began: Mapping[str, Any]) -> Any:
    """Return a choice as far as it matters: epochs do not where a stage has a number of steps."""
    if key != "stages":
        return began.get(key)
    return [stage | ({} if stage.get("steps") is None else {"epochs": None}) for stage in began.get(key) or ()]


def already_begun(folder: Path, done: int) -> SnapshotError:
    """Return the refusal to begin a run in a folder that has one."""
    return SnapshotError(
        f"{folder}: there is a run in it already, {done} steps long; add --resume to go on with it, or choose another "
        "--output for a new run (--fresh is no way round: it begins the weights anew, not the folder)"
    )


def _in_words(key: str, was: Any, now: Any) -> str:
    """Say how a run was begun otherwise, in the words of the options that decide it.

    >>> _in_words("batch", 4, 8), _in_words("samples", [50], [45])
    ('was begun with --batch 4, not 8', 'was begun with [50] images to learn from, not [45] (see --data, --validation)')
    """
    options = {
        "batch": "--batch",
        "turns_per_image": "--turns",
        "seed": "--seed",
        "level": "--level",
        "name": "--recipe",
    }
    if key in options:
        return f"was begun with {options[key]} {was}, not {now}"
    if key == "stages" and was and now:
        return f"was begun with {_stages(was)}, not {_stages(now)} (see --recipe, --steps, --epochs, --learning-rate)"
    if key == "samples":
        return f"was begun with {was} images to learn from, not {now} (see --data, --validation)"
    if key == "model":
        return "was begun with another model (see --model, --revision)"
    if key == "fresh":
        return f"was begun {'with' if was else 'without'} --fresh"
    if key == "rehearsal":
        return f"was begun with --rehearse {was or 'none'}, not {now or 'none'}"
    if key in ("data", "validation"):
        return f"was begun with other {'data' if key == 'data' else 'validation images'} (see --data, --validation)"
    return f"was begun with {key} {was}, not {now}"


def _stages(stages: Sequence[Mapping[str, Any]]) -> str:
    """Describe the stages of a recipe as plain data."""
    each = (
        f"{stage['steps']} steps" if stage.get("steps") is not None else f"{stage.get('epochs', 1)} epochs"
        for stage in stages
    )
    rates = (f"at {stage['learning_rate']:g}" for stage in stages)
    return ", then ".join(map(" ".join, zip(each, rates, strict=True)))


def _finished(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("[0-9]" * 9) if path.is_dir())
