"""Training loop: batches, gradients, optimizer steps, checkpoints; one process or several.

Read aloud: for each stage, for each step: accumulate the sum of the loss over the batch, divide the gradients by its
output tokens, clip, step, report, keep a checkpoint. Knows no text, no files of data and no terminal. Called by each
training process's main thread.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from model.config import PheyeConfig
from model.data.samples import ENDLESS, Source
from model.tokenizer import TextTokenizer
from model.training.batches import Loader, TrainingBatch
from model.training.journal import MetricsFile, TrainingStep
from model.training.learner import Learner
from model.training.optimizers import Optimizer, optimizer_of
from model.training.recipe import Recipe, RecipeError, Stage, learning_rate
from model.training.snapshot import (
    Snapshot,
    SnapshotError,
    TrainingPosition,
    check_same_run,
    latest_snapshot,
    save_snapshot,
)


class TrainingError(ArithmeticError):
    """Loss or gradients that are not finite; the message says at which step and what to do."""


@dataclass(frozen=True, slots=True)
class Data:
    """Training data of a run.

    Attributes:
        sources: one for each stage, or one for all of them.
        tokenizer: of the checkpoint it starts from.
        fingerprint: of that checkpoint, so that nobody goes on with another one.
        workers: processes that prepare batches ahead, for each training process.
    """

    sources: Sequence[Source]
    tokenizer: TextTokenizer
    fingerprint: str = ""
    workers: int = 0


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
        self._stages = _with_steps(recipe, data.sources)
        self._config, self._data, self._recipe, self._folder = config, data, recipe, folder
        self._accelerator = Accelerator(cpu=not torch.cuda.is_available())
        self.learner = learner
        self._snapshot = self._continued(latest_snapshot(folder / "checkpoints"), resume)
        if self._snapshot is not None:
            for name, parameter in learner.trained().items():
                parameter.data.copy_(self._snapshot.tensors[name])
        self._model = self._accelerator.prepare(learner)

    @property
    def total(self) -> int:
        """Number of optimizer steps in the whole run."""
        return sum(stage.steps or 0 for stage in self._stages)

    @property
    def done(self) -> int:
        """Number of steps that were done when the run was opened."""
        return self._snapshot.place.done if self._snapshot else 0

    @property
    def is_main(self) -> bool:
        """True in the process that writes files."""
        return bool(self._accelerator.is_main_process)

    def run(self) -> Iterator[TrainingStep]:
        """Train to the end, reporting each step; the caller may stop between any two.

        Raises:
            TrainingError: the gradient is not finite.
        """
        place = self._snapshot.place if self._snapshot else self._position(0, 0, 0)
        with MetricsFile(self._folder / "metrics.jsonl", place.done) if self.is_main else nullcontext() as journal:
            for number in range(place.stage, len(self._stages)):
                first = place.step if number == place.stage else 0
                for report in self._stage(number, first):
                    if journal is not None:
                        journal.write(report)
                    yield report

    def loader(self, number: int) -> Loader:
        """Return the loader of this process in a stage."""
        source = self._data.sources[min(number, len(self._data.sources) - 1)]
        ranks = self._accelerator.process_index, self._accelerator.num_processes
        return Loader(source, self._config, self._data.tokenizer, self._recipe, self._data.workers, *ranks)

    def close(self) -> None:
        """Leave the group of processes."""
        self._accelerator.end_training()

    def _stage(self, number: int, first: int) -> Iterator[TrainingStep]:
        stage, steps = self._stages[number], self._stages[number].steps or 0
        optimizer = self._optimizer()
        if first and self._snapshot is not None:
            optimizer.load_state_dict(dict(self._snapshot.optimizer))
        before = sum(earlier.steps or 0 for earlier in self._stages[:number])
        started = time.monotonic()
        # One source for all stages is read on where the stage before left off.
        read = before if len(self._data.sources) == 1 else 0
        for step, batches in enumerate(self.loader(number).steps(read + first, read + steps), start=first):
            rate = learning_rate(stage, step, steps, self._recipe.warm_up)
            loss, right, tokens = self._accumulate(batches)
            norm = self._update(optimizer, rate, tokens, before + step + 1)
            done, (started, elapsed) = before + step + 1, _lap(started)
            speed = self._recipe.batch / elapsed
            yield TrainingStep(
                done, self.total, stage.name, step + 1, loss / tokens, right / tokens, rate, tokens, norm, speed
            )
            # After the step was reported: what a checkpoint holds is in the metrics file too.
            if (step + 1) % self._recipe.checkpoint_steps == 0 or step + 1 == steps:
                self._keep(self._position(number, step + 1, done), optimizer)

    def _accumulate(self, batches: Sequence[TrainingBatch]) -> tuple[float, int, int]:
        """Accumulate gradients of the summed loss; returns the sum, right tokens and output tokens of the step."""
        sums = torch.zeros(3, dtype=torch.float64, device=self._accelerator.device)
        for place, batch in enumerate(batches):
            last = place == len(batches) - 1
            with nullcontext() if last else self._accelerator.no_sync(self._model):
                loss, right = self._model(batch.to(self._accelerator.device))
                self._accelerator.backward(loss)
            sums += torch.stack([loss.detach().double(), right.double(), torch.tensor(batch.output_tokens).to(sums)])
        total: Tensor = self._accelerator.reduce(sums, reduction="sum")
        return float(total[0]), int(total[1]), int(total[2])

    def _update(self, optimizer: Optimizer, rate: float, tokens: int, done: int) -> float:
        parameters = list(self.learner.trained().values())
        # Processes average their gradients of a sum; what is wanted is the mean over the batch's output tokens.
        scale = self._accelerator.num_processes / tokens
        torch._foreach_mul_([parameter.grad for parameter in parameters if parameter.grad is not None], scale)
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, self._recipe.clip))
        if not norm < float("inf"):
            raise TrainingError(f"step {done}: the gradient is {norm}; lower the learning rate or look at the data")
        optimizer.step(rate)
        return norm

    def _optimizer(self) -> Optimizer:
        recipe = self._recipe
        return optimizer_of(self.learner.trained(), recipe.optimizer, recipe.weight_decay, recipe.betas)

    def _keep(self, place: TrainingPosition, optimizer: Optimizer) -> None:
        if self.is_main:
            tensors = {name: parameter.detach().cpu() for name, parameter in self.learner.trained().items()}
            save_snapshot(self._folder / "checkpoints", Snapshot(place, tensors, optimizer.state_dict()))
        self._accelerator.wait_for_everyone()

    def _continued(self, found: Snapshot | None, resume: bool) -> Snapshot | None:
        if found is None:
            return None
        if not resume:
            raise SnapshotError(f"{self._folder}: there is a run in it already; continue it, or choose another folder")
        check_same_run(found.place, self._position(0, 0, 0))
        return found

    def _position(self, stage: int, step: int, done: int) -> TrainingPosition:
        level = self._config.level
        began = {
            "model": self._data.fingerprint,
            "level": level,
            "samples": [len(source) for source in self._data.sources],
        }
        return TrainingPosition(stage, step, done, self._recipe.as_json(), began)


def _lap(started: float) -> tuple[float, float]:
    now = time.monotonic()
    return now, now - started


def _with_steps(recipe: Recipe, sources: Sequence[Source]) -> list[Stage]:
    """Return the recipe's stages with the number of their steps."""
    if len(sources) not in (1, len(recipe.stages)):
        raise RecipeError(f"{len(sources)} sources for {len(recipe.stages)} stages; give one, or one for each stage")
    stages = []
    for number, stage in enumerate(recipe.stages):
        length = len(sources[min(number, len(sources) - 1)])
        if stage.steps is None and length >= ENDLESS:
            raise RecipeError(f"stage {stage.name}: its data have no end, so it needs a number of steps")
        steps = stage.steps if stage.steps is not None else max(1, round(stage.epochs * length / recipe.batch))
        stages.append(replace(stage, steps=steps))
    return stages
