"""Training loop: stages, steps, validations, checkpoints; one process or several.

Read aloud: for each stage, for each step: accumulate the gradients of the batch, update, report, validate where it is
due, keep a checkpoint. Knows no text, no files of data and no terminal. Called by each training process's main thread.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from model.config import PheyeConfig
from model.data.manifest import ManifestSource
from model.data.samples import ENDLESS, Source
from model.tokenizer import TextTokenizer
from model.training.artifacts.journal import MetricsFile, Report, TrainingStep, ValidationReport
from model.training.artifacts.snapshot import (
    Snapshot,
    TrainingPosition,
    already_begun,
    check_fits,
    check_same_run,
    drop_best,
    latest_snapshot,
    save_snapshot,
)
from model.training.batches import REHEARSED_EVERY, SIGNAL_S, Loader, TrainingBatch, is_lost_worker
from model.training.gradient_step import GradientStep, StopRequested
from model.training.learner import Learner
from model.training.optimizers import Optimizer, optimizer_of
from model.training.planning.pace import Pace, measured_pace
from model.training.recipe import Recipe, learning_rate, with_steps
from model.training.validation.validations import Validations
from model.training.validation.validator import Validator


@dataclass(frozen=True, slots=True)
class Data:
    """Training data of a run.

    Attributes:
        sources: one for each stage, or one for all of them.
        tokenizer: of the checkpoint it starts from.
        fingerprint: of that checkpoint, so that nobody goes on with another one.
        workers: processes that prepare batches ahead, for each training process.
        validation: held-out images; None for none.
        patience: validations without a better one after which the run ends; 0 for never.
        rehearsal: what one sample in `REHEARSED_EVERY` is taken from, so that it is not forgotten; None for nothing.
        began: what else the run is begun with, so that nobody goes on with something else.
    """

    sources: Sequence[Source]
    tokenizer: TextTokenizer
    fingerprint: str = ""
    workers: int = 0
    validation: ManifestSource | None = None
    patience: int = 0
    rehearsal: Source | None = None
    began: Mapping[str, Any] = field(default_factory=dict)


class Trainer:
    """Training loop of one run, from its beginning or from its last checkpoint.

    Args:
        learner: the model, on the CPU; its trained parameters change in place.
        config: its geometry.
        data: what it learns from.
        recipe: how.
        folder: `checkpoints/` and `metrics.jsonl` are kept here.
        resume: continue from the last checkpoint in `folder`, if there is one.

    Raises:
        RecipeError: the recipe does not fit the data.
        SnapshotError: there is a checkpoint, but of a run begun differently, or `resume` is not asked for.
    """

    def __init__(
        self, learner: Learner, config: PheyeConfig, data: Data, recipe: Recipe, folder: Path, *, resume: bool = False
    ) -> None:
        self.stages = with_steps(recipe, [_samples(source, data.rehearsal) for source in data.sources])
        self._config, self._data, self._recipe, self._folder = config, data, recipe, folder
        self._accelerator = Accelerator(cpu=not torch.cuda.is_available())
        self.learner = learner
        self._snapshot = self._continued(latest_snapshot(folder / "checkpoints"), resume)
        if self._snapshot is not None:
            for name, parameter in learner.trained().items():
                parameter.data.copy_(self._snapshot.tensors[name])
        self._step = GradientStep(self._accelerator, learner, recipe.clip)
        self.validations = self._validations()
        self.kept = self.done  # steps that the last checkpoint holds

    @property
    def total(self) -> int:
        """Number of optimizer steps in the whole run."""
        return sum(stage.steps or 0 for stage in self.stages)

    @property
    def done(self) -> int:
        """Number of steps that were done when the run was opened."""
        return self._snapshot.place.done if self._snapshot else 0

    @property
    def is_main(self) -> bool:
        """True in the process that writes files."""
        return bool(self._accelerator.is_main_process)

    @property
    def stopped(self) -> bool:
        """True after `stop` has ended the run before its time."""
        return self._step.stopping

    def stop(self) -> None:
        """Ask the run to end soon, with a checkpoint; a signal handler may call it."""
        self._step.stop_asked = True

    def run(self) -> Iterator[Report]:
        """Train to the end, reporting each step and each validation; the caller may stop between any two.

        Raises:
            TrainingError: the gradient is not finite, or the layers cannot be compiled.
        """
        place = self._snapshot.place if self._snapshot else self._position(0, 0, 0)
        if self.is_main and self._snapshot is None:
            drop_best(self._folder)
        with MetricsFile(self._folder / "metrics.jsonl", self._told) if self.is_main else nullcontext() as journal:
            for report in self._reports(place):
                if journal is not None:
                    journal.write(report)
                yield report

    def pace(self, compiled: bool = False) -> Pace:
        """Measure how long steps and validations take here, of compiled layers or not; nothing is learned from it."""
        number = self._snapshot.place.stage if self._snapshot else 0
        return measured_pace(self._step, self._optimizer(), self.loader(number), self.validations, compiled)

    def loader(self, number: int) -> Loader:
        """Return the loader of this process in a stage."""
        source = self._data.sources[min(number, len(self._data.sources) - 1)]
        ranks = self._accelerator.process_index, self._accelerator.num_processes
        return Loader(
            source, self._config, self._data.tokenizer, self._recipe, self._data.workers, *ranks, self._data.rehearsal
        )

    def close(self) -> None:
        """Leave the group of processes."""
        self._accelerator.end_training()

    def _reports(self, place: TrainingPosition) -> Iterator[Report]:
        yield from self._validated(place.done)
        for number in range(place.stage, len(self.stages)):
            if not self._is_over:
                yield from self._stage(number, place.step if number == place.stage else 0)

    def _stage(self, number: int, first: int) -> Iterator[Report]:
        stage, steps = self.stages[number], self.stages[number].steps or 0
        optimizer = self._optimizer()
        if first and self._snapshot is not None:
            optimizer.load_state_dict(dict(self._snapshot.optimizer))
        before = sum(earlier.steps or 0 for earlier in self.stages[:number])
        started = time.monotonic()
        read = self.first_read(number)
        loaded = self.loader(number).steps(read + first, read + steps)
        for step in range(first, steps):
            rate, done = learning_rate(stage, step, steps, self._recipe.warm_up), before + step + 1
            sums = self._accumulated(loaded)
            if sums is None:
                self._keep(self._position(number, step, done - 1), optimizer)
                return
            loss, right, tokens = sums
            norm = self._step.update(optimizer, rate, tokens, done)
            started, elapsed = _lap(started)
            speed = self._recipe.batch / elapsed
            yield TrainingStep(
                done, self.total, stage.name, step + 1, loss / tokens, right / tokens, rate, tokens, norm, speed
            )
            for validation in self._validated(done):
                started += validation.seconds
                yield validation
            # After the step was reported: what a checkpoint holds is in the metrics file too.
            if (step + 1) % self._recipe.checkpoint_steps == 0 or step + 1 == steps or self._is_over:
                self._keep(self._position(number, step + 1, done), optimizer)
            if self._is_over:
                return

    def first_read(self, number: int) -> int:
        """Return the step, in a source's own count, at which a stage begins to read it.

        One source for all stages is read on where the stage before left off, and a stream never shows anything twice.
        """
        sources = self._data.sources
        goes_on = len(sources) == 1 or len(sources[number]) >= ENDLESS
        return sum(earlier.steps or 0 for earlier in self.stages[:number]) if goes_on else 0

    def _accumulated(self, loaded: Iterator[list[TrainingBatch]]) -> tuple[float, int, int] | None:
        """Accumulate the next step's gradients; None if the run shall stop, the parameters being as they were."""
        try:
            return self._step.accumulate(next(loaded))
        except StopRequested:
            return None
        except RuntimeError as error:
            if is_lost_worker(error) and self._step.stops_within(SIGNAL_S):
                return None
            raise

    @property
    def _told(self) -> int:
        """Last step whose reports are this run's; without a checkpoint not even the start's are: they may be another's.

        A run that died before its first checkpoint may have begun with other weights or images.
        """
        return -1 if self._snapshot is None else self.done

    @property
    def _is_over(self) -> bool:
        return self.stopped or (self.validations is not None and self.validations.exhausted)

    def _validated(self, done: int) -> Iterator[ValidationReport]:
        """Validate after a step where that is due and was not done before."""
        if self.validations is not None and self.validations.is_due(done):
            report = self.validations.validate(done, self.learner)
            if report is not None:
                yield report

    def _validations(self) -> Validations | None:
        source = self._data.validation
        if source is None:
            return None
        validator = Validator(self.learner, self._config, self._data.tokenizer, source, self._recipe.micro_batch)
        given = self._accelerator, self._folder, self._told, self.total, self._data.patience
        return Validations(validator, self._step, *given)

    def _optimizer(self) -> Optimizer:
        recipe = self._recipe
        return optimizer_of(self.learner.trained(), recipe.optimizer, recipe.weight_decay, recipe.betas)

    def _keep(self, place: TrainingPosition, optimizer: Optimizer) -> None:
        if self.is_main:
            tensors = {name: parameter.detach().cpu() for name, parameter in self.learner.trained().items()}
            save_snapshot(self._folder / "checkpoints", Snapshot(place, tensors, optimizer.state_dict()))
        self._accelerator.wait_for_everyone()
        self.kept = place.done

    def _continued(self, found: Snapshot | None, resume: bool) -> Snapshot | None:
        if found is None:
            return None
        if not resume:
            raise already_begun(self._folder, found.place.done)
        check_same_run(self._folder, found.place, self._position(0, 0, 0))
        check_fits(self._folder, found, [stage.steps or 0 for stage in self.stages], self.learner.trained())
        return found

    def _position(self, stage: int, step: int, done: int) -> TrainingPosition:
        began = {
            "model": self._data.fingerprint,
            "level": self._config.level,
            "samples": [len(source) for source in self._data.sources],
            **self._data.began,
        }
        return TrainingPosition(stage, step, done, self._recipe.as_json(), began)


def _samples(source: Source, rehearsal: Source | None) -> int:
    """Return the samples of an epoch, those of the rehearsal included."""
    if rehearsal is None or len(source) >= ENDLESS:
        return len(source)
    return round(len(source) * REHEARSED_EVERY / (REHEARSED_EVERY - 1))


def _lap(started: float) -> tuple[float, float]:
    now = time.monotonic()
    return now, now - started
