"""Training run from options to a folder: open the model and the data, train, write what can be served.

What `pheye train` calls. Called by each training process's main thread; under `accelerate launch` or `torchrun` several
processes share one run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from model.about import About
from model.checkpoint.checkpoint import RANDOM, Checkpoint, open_checkpoint
from model.checkpoint.sources import folder_of
from model.provenance import provenance
from model.training.artifacts.export import Trained, export, export_published
from model.training.artifacts.journal import Report, ValidationReport, read_validations
from model.training.artifacts.plots import plot_run
from model.training.artifacts.records import read_record
from model.training.artifacts.snapshot import SnapshotError, read_best
from model.training.compute import ComputeOptions, passes_of, take_threads, workers_of
from model.training.initial import initial_tensors
from model.training.learner import Learner
from model.training.planning.data import TrainingData
from model.training.planning.pace import Pace
from model.training.planning.plan import TrainingPlan
from model.training.recipe import Recipe
from model.training.trainer import Data, Trainer


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
class TrainingOutcome:
    """Validations of a finished run that say what it was good for; None where there were none.

    Attributes:
        start: of the model it started from.
        best: of the weights that are written.
    """

    start: ValidationReport | None
    best: ValidationReport | None


class TrainingRun:
    """Training run, new or resumed from where it was interrupted.

    Args:
        start: the model.
        data: what to learn from and to validate on.
        recipe: how to train.
        output: the run's folder.
        compute: how to compute.
        resume: go on with the run in `output`, if there is one.
        patience: validations without a better one after which the run ends; 0 for never.

    Raises:
        ValueError: something of it cannot be used; the message says what.
    """

    def __init__(
        self,
        start: StartingPoint,
        data: TrainingData,
        recipe: Recipe,
        output: Path,
        compute: ComputeOptions | None = None,
        *,
        resume: bool = False,
        patience: int = 0,
    ) -> None:
        compute = compute or ComputeOptions()
        take_threads(compute)
        _check_output(output)
        self._checkpoint = _opened(start, recipe)
        self.data, self.recipe, self.compute = data, recipe, compute
        self._output, self._record = output, _record(start, data, recipe)
        self._about = _about(self._checkpoint, data)
        config, tokenizer = self._checkpoint.config, self._checkpoint.tokenizer
        data.check_lengths(tokenizer, config.decoder.max_positions)
        self.passes = passes_of(compute)
        self._learner = Learner(
            config, self._checkpoint.ranks, self._checkpoint.tensors, self.passes, parts=recipe.parts
        )
        began = {**data.began, "fresh": start.fresh}
        given = Data(
            data.sources,
            tokenizer,
            self._checkpoint.fingerprint,
            workers_of(compute),
            data.validation,
            patience,
            data.rehearsed(),
            began,
        )
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
    def kept(self) -> int:
        """Number of steps that the last checkpoint holds."""
        return self._trainer.kept

    @property
    def is_main(self) -> bool:
        """True in the process that reports."""
        return self._trainer.is_main

    @property
    def stopped(self) -> bool:
        """True after `stop` has ended the run before its time."""
        return self._trainer.stopped

    def plan(self) -> TrainingPlan:
        """Say what the run will do; see `TrainingPlan`."""
        validations = self._trainer.validations
        return TrainingPlan(
            tuple(self._trainer.stages),
            self.recipe,
            self.data,
            self._checkpoint.config,
            self.done,
            self.total,
            0 if validations is None else validations.left(self.done),
            0 if validations is None else validations.every,
            sum(parameter.numel() for parameter in self._learner.trained().values()),
            sum(parameter.numel() * parameter.element_size() for parameter in self._learner.parameters()),
            str(self.passes.dtype).removeprefix("torch."),
            self._learner.device.type,
        )

    def pace(self) -> Pace:
        """Measure how long steps and validations take here; nothing is learned from it."""
        return self._trainer.pace(self.compute.compiled)

    def stop(self) -> None:
        """Ask the run to end soon, with a checkpoint; a signal handler may call it."""
        self._trainer.stop()

    def steps(self) -> Iterator[Report]:
        """Train to the end; see `Trainer.run`."""
        return self._trainer.run()

    def outcome(self) -> TrainingOutcome:
        """Return the validations that say what the run was good for."""
        reports = read_validations(self._output / "metrics.jsonl")
        kept = read_best(self._output)
        best = next((report for report in reports if kept is not None and report.done == kept[0]), None)
        start = next((report for report in reports if not report.done), None)
        return TrainingOutcome(start, best)

    def model_folder(self, *, unfinished: bool = False) -> Path:
        """Return the folder that `finish` writes."""
        return self._output / (f"model-{self.kept}" if unfinished else "model")

    def finish(self, dtype: str | None = None, *, published: bool = False, unfinished: bool = False) -> Path:
        """Write the model and the plots, in the main process, and return the folder of the model.

        The weights are those of the best validation, or the last ones where there was none. A folder that is there
        stays as it is.

        Args:
            dtype: of the stored tensors; see `export`.
            published: write the published layout instead of ours.
            unfinished: the run has not come to its end; its last checkpoint goes to a folder named like its steps.
        """
        folder = self.model_folder(unfinished=unfinished)
        if self.is_main and not folder.exists():
            best, outcome = None if unfinished else read_best(self._output), self.outcome()
            kept = ("start",) if unfinished else ("start", "best")
            judged = {name: asdict(report) for name in kept if (report := getattr(outcome, name))}
            record = self._record | ({"validation": judged} if judged else {})
            record |= {"steps_done": self.kept} if unfinished else {}
            trained = Trained(
                self._checkpoint.config,
                self._checkpoint.ranks,
                {**self._checkpoint.tensors, **(best[1] if best is not None else self._learner.trained())},
                self._checkpoint.tokenizer,
                record,
                self._about,
            )
            (export_published if published else export)(trained, folder, dtype)
            plot_run(self._output / "metrics.jsonl", self._output / "training.png")
        self._trainer.close()
        return folder


def _check_output(output: Path) -> None:
    """Refuse a folder that could not be written to in the end.

    Raises:
        SnapshotError: the message says what is there.
    """
    if output.exists() and not output.is_dir():
        raise SnapshotError(f"{output}: is a file; --output is the folder of the run")
    if (output / "model").exists() and not (output / "checkpoints").exists():
        raise SnapshotError(
            f"{output / 'model'}: exists already, without a run to go on with; choose another --output (a trained "
            "model is trained on with --model, not with --resume or --fresh)"
        )


def _opened(start: StartingPoint, recipe: Recipe) -> Checkpoint:
    checkpoint = open_checkpoint(start.source, start.revision)
    if start.level is not None:
        checkpoint = changed_level(checkpoint, start.level)
    if not start.fresh:
        return checkpoint
    new = initial_tensors(checkpoint.config, checkpoint.ranks, recipe.seed)
    return replace(checkpoint, tensors={**checkpoint.tensors, **new})


def _about(checkpoint: Checkpoint, data: TrainingData) -> About | None:
    """Return what the trained model knows, as far as that is known: a manifest may show it anything.

    Samples are left behind, since nobody has looked at what the new weights say of them.
    """
    if checkpoint.about is None or data.own:
        return None
    return replace(checkpoint.about, samples=())


def changed_level(checkpoint: Checkpoint, level: int) -> Checkpoint:
    """Return the same weights for images cut into level x level local tiles; positions of more tiles may be untaught.

    Raises:
        ConfigError: there is no such level.
    """
    return replace(checkpoint, config=replace(checkpoint.config, level=level))


def earlier_record(start: StartingPoint) -> dict[str, Any] | None:
    """Return how the weights that a run starts from were made, if training wrote them.

    Raises:
        CheckpointError: there are no such weights, or their record cannot be read.
    """
    return None if start.source.startswith(RANDOM) else read_record(folder_of(start.source, start.revision))


def _record(start: StartingPoint, data: TrainingData, recipe: Recipe) -> dict[str, Any]:
    began = {"model": start.source, "revision": start.revision, "fresh": start.fresh, "level": start.level}
    if data.rehearsal is not None:
        began["rehearsal"] = data.rehearsal
    record = {"began": began, "data": list(data.names), "recipe": recipe.as_json(), **provenance()}
    earlier = earlier_record(start)
    return record if earlier is None else {**record, "before": earlier}
