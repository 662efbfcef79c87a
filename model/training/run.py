"""Training run from options to a folder: open the model and the data, train, write what can be served.

What `pheye train` calls. Sets torch's thread count, which belongs to the whole process. Called by each training
process's main thread; under `accelerate launch` or `torchrun` several processes share one run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from model.about import About
from model.checkpoint.checkpoint import RANDOM, Checkpoint, open_checkpoint
from model.checkpoint.sources import CheckpointError, folder_of
from model.data.manifest import ManifestSource, read_manifest
from model.data.mixture import stream
from model.data.samples import Source
from model.provenance import provenance
from model.runtime.hardware import multiplies_bf16, resolve_device, usable_cores
from model.training.export import Trained, export, export_published, read_record
from model.training.initial import initial_tensors
from model.training.journal import TrainingStep
from model.training.learner import Learner, Passes
from model.training.plots import plot_run
from model.training.recipe import Recipe
from model.training.trainer import Data, Trainer

PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True, slots=True)
class StartingPoint:
    """Weights that a run starts from.

    Attributes:
        source: a folder, a hub repository id, or `random:<geometry>`.
        revision: of the hub repository.
        fresh: begin what Pheye trains anew, instead of going on from the checkpoint's own.
        level: local tiles along each side of the image; None is the checkpoint's own. No tensor depends on it.
    """

    source: str
    revision: str | None = None
    fresh: bool = False
    level: int | None = None


@dataclass(frozen=True, slots=True)
class ComputeOptions:
    """Options of the computation; none of them changes what is learned, up to rounding.

    Attributes:
        precision: `auto`, `float32` or `bfloat16`; auto is bfloat16 where the hardware multiplies it.
        compiled: compile the layers.
        recompute: gradient checkpointing.
        workers: processes that prepare batches ahead, for each training process.
        threads: CPU threads of one operation; 0 shares the cores between the training processes.
    """

    precision: str = "auto"
    compiled: bool = False
    recompute: bool = False
    workers: int = 1
    threads: int = 0


class TrainingRun:
    """Training run, new or resumed from where it was interrupted.

    Args:
        start: the model.
        data: manifests, one for each stage of the recipe, or one for all; or streams of the synthetic world by name.
        recipe: how to train.
        output: the run's folder.
        compute: how to compute.
        resume: go on with the run in `output`, if there is one.

    Raises:
        ValueError: something of it cannot be used; the message says what.
    """

    def __init__(
        self,
        start: StartingPoint,
        data: tuple[Path, ...],
        recipe: Recipe,
        output: Path,
        compute: ComputeOptions | None = None,
        *,
        resume: bool = False,
    ) -> None:
        compute = compute or ComputeOptions()
        take_threads(compute)
        sources = [_source(path) for path in data]
        self._checkpoint = _opened(start, recipe)
        self._output, self._record = output, _record(start, data, recipe)
        self._about = _about(self._checkpoint, sources)
        config = self._checkpoint.config
        self._learner = Learner(config, self._checkpoint.ranks, self._checkpoint.tensors, passes_of(compute))
        given = Data(sources, self._checkpoint.tokenizer, self._checkpoint.fingerprint, compute.workers)
        self._trainer = Trainer(self._learner, config, given, recipe, output, resume=resume)

    @property
    def total(self) -> int:
        """Number of optimizer steps in the whole run."""
        return self._trainer.total

    @property
    def done(self) -> int:
        """Number of steps that were done when the run was opened."""
        return self._trainer.done

    @property
    def is_main(self) -> bool:
        """True in the process that reports."""
        return self._trainer.is_main

    def steps(self) -> Iterator[TrainingStep]:
        """Train to the end; see `Trainer.run`."""
        return self._trainer.run()

    def finish(self, dtype: str | None = None, *, published: bool = False) -> Path:
        """Write the model and the plots, in the main process, and return the folder of the model.

        Args:
            dtype: of the stored tensors; see `export`.
            published: write the published layout instead of ours.
        """
        folder = self._output / "model"
        if self.is_main and not folder.exists():
            trained = Trained(
                self._checkpoint.config,
                self._checkpoint.ranks,
                {**self._checkpoint.tensors, **self._learner.trained()},
                self._checkpoint.tokenizer,
                self._record,
                self._about,
            )
            plot_run(self._output / "metrics.jsonl", self._output / "training.png")
            (export_published if published else export)(trained, folder, dtype)
        self._trainer.close()
        return folder


def _source(path: Path) -> Source:
    return stream(str(path)) or read_manifest(path)


def _opened(start: StartingPoint, recipe: Recipe) -> Checkpoint:
    checkpoint = open_checkpoint(start.source, start.revision)
    if start.level is not None:
        checkpoint = changed_level(checkpoint, start.level)
    if not start.fresh:
        return checkpoint
    new = initial_tensors(checkpoint.config, checkpoint.ranks, recipe.seed)
    return replace(checkpoint, tensors={**checkpoint.tensors, **new})


def _about(checkpoint: Checkpoint, sources: list[Source]) -> About | None:
    """Return what the trained model knows, as far as that is known: a manifest may show it anything.

    Samples are left behind, since nobody has looked at what the new weights say of them.
    """
    if checkpoint.about is None or any(isinstance(source, ManifestSource) for source in sources):
        return None
    return replace(checkpoint.about, samples=())


def changed_level(checkpoint: Checkpoint, level: int) -> Checkpoint:
    """Return the same weights for images cut into level x level local tiles; positions of more tiles may be untaught.

    Raises:
        ConfigError: there is no such level.
    """
    return replace(checkpoint, config=replace(checkpoint.config, level=level))


def take_threads(compute: ComputeOptions) -> None:
    """Set the number of CPU threads of an operation, for the whole process."""
    shared = usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    torch.set_num_threads(compute.threads or max(1, shared))


def passes_of(compute: ComputeOptions) -> Passes:
    """Return the options of the forward passes, with the precision asked for, or the one that suits the hardware.

    Raises:
        CheckpointError: there is no such precision.
    """
    if compute.precision not in PRECISIONS:
        raise CheckpointError(f"precision: {compute.precision!r} is not one of {', '.join(PRECISIONS)}")
    automatic = torch.bfloat16 if multiplies_bf16(resolve_device("auto")) else torch.float32
    dtype = automatic if compute.precision == "auto" else getattr(torch, compute.precision)
    return Passes(dtype, compute.compiled, compute.recompute)


def _record(start: StartingPoint, data: tuple[Path, ...], recipe: Recipe) -> dict[str, Any]:
    began = {"model": start.source, "revision": start.revision, "fresh": start.fresh, "level": start.level}
    record = {"began": began, "data": [str(path) for path in data], "recipe": recipe.as_json(), **provenance()}
    earlier = None if start.source.startswith(RANDOM) else read_record(folder_of(start.source, start.revision))
    return record if earlier is None else {**record, "before": earlier}
