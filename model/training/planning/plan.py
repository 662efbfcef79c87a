"""Plan of a run: what it will do, and what about it may go wrong. Pure data and words; any thread."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from model.config import PheyeConfig
from model.training.batches import REHEARSED_EVERY
from model.training.planning.data import TrainingData
from model.training.recipe import Recipe, Stage

_OPTIMIZER_BYTES = 12  # of each trained parameter: its gradient and two moments, float32
_FEW_STEPS = 30  # below which little is learned from one's own data
_MANY_LOOKS = 40  # at each image, from which it is learned by heart
_HIGH_RATE = 1e-3


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Plan of a run.

    Attributes:
        stages: with their steps.
        recipe: batch and the rest.
        data: what is learned from and validated on.
        config: the model's geometry.
        done: steps that are done already.
        total: steps of the whole run.
        validations: still to come.
        validate_every: steps between two validations; 0 without any.
        trained_parameters: how many numbers are trained.
        weight_bytes: of all parameters in memory.
        dtype: activations and frozen weights are computed in.
        device: `cpu` or `cuda`.
    """

    stages: tuple[Stage, ...]
    recipe: Recipe
    data: TrainingData
    config: PheyeConfig
    done: int
    total: int
    validations: int
    validate_every: int
    trained_parameters: int
    weight_bytes: int
    dtype: str
    device: str

    @property
    def state_bytes(self) -> int:
        """Bytes of weights, gradients and the optimizer's state: the least memory a run takes."""
        return self.weight_bytes + _OPTIMIZER_BYTES * self.trained_parameters

    @property
    def looks(self) -> float | None:
        """Mean number of times that each image is learned from; None where the data have no end."""
        own = 1 - 1 / REHEARSED_EVERY if self.data.rehearsal else 1.0  # of a step's samples
        return own * self.total * self.recipe.batch / self.data.images if self.data.is_own else None

    def warnings(self) -> Iterator[str]:
        """Yield what may go wrong with a run of one's own data, with the numbers."""
        looks = self.looks
        if looks is None:
            return
        if self.total < _FEW_STEPS:
            batch = min(self.recipe.batch, max(4, self.data.images // 5))
            smaller = f"--batch {batch} " if batch < self.recipe.batch else ""
            epochs = math.ceil(_FEW_STEPS * batch / self.data.images)
            yield (
                f"{self.total} step{'s' if self.total > 1 else ''} of {self.recipe.batch} images are too few to learn "
                f"from; from about {_FEW_STEPS} on there is something to see: {smaller}--epochs {epochs}"
            )
        if looks > _MANY_LOOKS:
            yield (
                f"each image is seen {looks:.0f} times: from about {_MANY_LOOKS} on a model learns pictures by heart "
                f"and forgets what it knew; --epochs {_MANY_LOOKS // 2}, or --patience 3 to stop when it gets no better"
            )
        highest = max(stage.learning_rate for stage in self.stages)
        if highest > _HIGH_RATE:
            yield (
                f"a learning rate of {highest:g} is high for a model that knows something already: it forgets; the "
                "paper's last stage has 5e-05"
            )
        if self.data.validation is None:
            yield (
                "no image is held out: nothing will say whether the model got better, and the last weights are "
                "written, not the best (--validation 20%, or a manifest of other images)"
            )
