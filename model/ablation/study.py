"""Ablation study: train each variant with one recipe from the same frozen parts, then evaluate on the same scenes.

A variant has a folder of its own with checkpoints and metrics, as any run; its result is written beside them when it is
judged, and a variant with a result is not trained again. Main thread of one process.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from model.ablation.judge import VariantScore, judge
from model.ablation.learner import VariantLearner
from model.ablation.variants import Variant
from model.checkpoint.checkpoint import Checkpoint
from model.data.world.source import WorldSource
from model.provenance import provenance
from model.training.artifacts.journal import TrainingStep, read_journal
from model.training.compute import ComputeOptions, passes_of, take_threads, workers_of
from model.training.initial import initial_tensors
from model.training.recipe import Recipe
from model.training.run import changed_level
from model.training.trainer import Data, Trainer
from model.whole_files import write_whole

RESULT = "result.json"
_SEED = "train ablation"  # of the scenes that variants learn from


@dataclass(frozen=True, slots=True)
class AblationResult:
    """Scores of one variant, a row of the table.

    Attributes:
        variant: its name.
        after: whose architecture it stands for.
        trained_parameters: how many numbers were trained.
        image_tokens: that the language model reads, in cross-attention or in front of the text.
        steps: of training, with `batch` images each.
        batch: images of a step.
        loss: of an output token on the scenes held out, in nats.
        scores: on these scenes.
        images_per_s: median speed of training, on a machine that others may have used too.
        made: commit, command and versions.
    """

    variant: str
    after: str
    trained_parameters: int
    image_tokens: int
    steps: int
    batch: int
    loss: float
    scores: tuple[VariantScore, ...]
    images_per_s: float
    made: dict[str, Any]

    def share(self, kind: str) -> float | None:
        """Share of right answers of a kind, 0 to 1; None if no question was of this kind."""
        return next((score.share for score in self.scores if score.kind == kind and score.cases), None)


@dataclass(frozen=True, slots=True)
class StudySetup:
    """Settings that all variants of a study share.

    Attributes:
        checkpoint: whose frozen parts they share; its trained parts are begun anew.
        recipe: how they are trained.
        scenes: on how many scenes they are judged.
        compute: how to compute.
    """

    checkpoint: Checkpoint
    recipe: Recipe
    scenes: int
    compute: ComputeOptions


class VariantRun:
    """Training run of one variant, new or resumed from where it was interrupted.

    Args:
        variant: which.
        setup: what it has in common with the others.
        folder: its own.

    Raises:
        SnapshotError: there is a run in the folder that was begun differently.
    """

    def __init__(self, variant: Variant, setup: StudySetup, folder: Path) -> None:
        take_threads(setup.compute)
        self._variant, self._setup, self._folder = variant, setup, folder
        self._checkpoint = changed_level(setup.checkpoint, max(2, variant.level))
        config, ranks, seed = self._checkpoint.config, self._checkpoint.ranks, setup.recipe.seed
        tensors = {**self._checkpoint.tensors, **initial_tensors(config, ranks, seed)}
        self._learner = VariantLearner(variant, config, ranks, tensors, passes_of(setup.compute), seed)
        began = f"{variant.name} {self._checkpoint.fingerprint}"
        data = Data([_scenes(setup.recipe)], self._checkpoint.tokenizer, began, workers_of(setup.compute))
        self._trainer = Trainer(self._learner, config, data, setup.recipe, folder, resume=True)

    @property
    def total(self) -> int:
        """Number of steps in the variant's training."""
        return self._trainer.total

    @property
    def done(self) -> int:
        """Number of steps that were done when the run was opened."""
        return self._trainer.done

    def finish(self, follow: Callable[[TrainingStep], None]) -> AblationResult:
        """Train to the end, report each step, evaluate, and write the result.

        Raises:
            TrainingError: the gradient is not finite.
        """
        for report in self._trainer.run():
            if isinstance(report, TrainingStep):
                follow(report)
        self._trainer.close()
        learner, config = self._learner.cpu(), self._checkpoint.config
        loss, scores = judge(learner, config, self._checkpoint.tokenizer, self._setup.recipe, self._setup.scenes)
        reports = read_journal(self._folder / "metrics.jsonl")
        result = AblationResult(
            self._variant.name,
            self._variant.after,
            sum(parameter.numel() for parameter in learner.trained().values()),
            self._image_tokens(),
            self.total,
            self._setup.recipe.batch,
            loss,
            tuple(scores),
            median(report.images_per_s for report in reports),
            provenance(),
        )
        write_whole(self._folder / RESULT, json.dumps(asdict(result), indent=2) + "\n")
        return result

    def _image_tokens(self) -> int:
        tile = self._checkpoint.config.vision.tokens_per_tile
        if self._variant.connector == "cls prefix":
            return 1
        return tile if self._variant.level == 1 or self._variant.resampler else tile * (1 + self._variant.level**2)


def _scenes(recipe: Recipe) -> WorldSource:
    """Mix ordinary scenes whose signs change from plain ones to all kinds over the first half of the run."""
    steps = sum(stage.steps or 0 for stage in recipe.stages)
    return WorldSource(_SEED, easy_until=steps * recipe.batch // 2)


def read_result(folder: Path) -> AblationResult | None:
    """Read the result of a variant; None if it is not finished.

    Raises:
        ValueError: the file is not a result.
    """
    path = folder / RESULT
    return _read(path, lambda found: [found])[0] if path.exists() else None


def write_results(results: Sequence[AblationResult], path: Path) -> None:
    """Write the rows of a table into one file."""
    write_whole(path, json.dumps([asdict(result) for result in results], indent=2) + "\n")


def read_results(path: Path) -> list[AblationResult]:
    """Read a table that `write_results` wrote.

    Raises:
        ValueError: the file holds no results.
        OSError: it cannot be read.
    """
    return _read(path, list)


def _read(path: Path, lines: Callable[[Any], list[Any]]) -> list[AblationResult]:
    try:
        found = lines(json.loads(path.read_text(encoding="utf-8")))
        return [
            AblationResult(**{**line, "scores": tuple(VariantScore(**score) for score in line["scores"])})
            for line in found
        ]
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{path}: not a result: {error}") from None
