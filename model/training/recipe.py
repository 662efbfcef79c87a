"""Recipes of training, as plain data with names: stages, learning rates, batch sizes.

Sources: arXiv 2501.02584, section 3.1. Knows no tensors and no files; any thread may call it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from model.data.samples import ENDLESS
from model.training.optimizers import OptimizerName

Parts = Literal["adapted", "everything"]
_MOST_SEED = 2**63 - 1  # what torch takes as a signed number


class RecipeError(ValueError):
    """Recipe that cannot be followed; the message names the field."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Stage of training with its own optimizer and learning-rate curve.

    Attributes:
        name: what metrics call it.
        learning_rate: at its height, after the warm-up.
        steps: optimizer steps; None means `epochs` passes over the data, which must then have an end.
        epochs: passes over the data where `steps` is None.
    """

    name: str
    learning_rate: float
    steps: int | None = None
    epochs: float = 1.0

    def __post_init__(self) -> None:
        """Refuse values that could only fail later."""
        for field, value in (("learning_rate", self.learning_rate), ("epochs", self.epochs)):
            if not 0 < value < math.inf:
                raise RecipeError(f"{field}: {value} is not a positive number")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Choices of a training run that decide its result, apart from the data and the weights it starts from.

    Attributes:
        name: how it is asked for.
        stages: in order.
        batch: images of one optimizer step, over all processes and accumulated passes.
        micro_batch: images of one forward pass of one process; it decides about memory, not about the result.
        turns_per_image: turns of one image drawn at random; they share a row, and the image's features.
        warm_up: share of a stage's steps in which the learning rate rises.
        weight_decay: of matrices; norms, biases and tile positions have none.
        betas: of AdamW.
        optimizer: `adamw`, or `muon` for the matrices of layers.
        clip: largest norm of the gradient.
        seed: of the order of samples, the choice of turns and new weights.
        checkpoint_steps: a checkpoint is written every so many steps.
        parts: `adapted` trains what the paper trains and freezes both transformers; `everything` trains them, too.
    """

    name: str
    stages: tuple[Stage, ...]
    batch: int = 128
    micro_batch: int = 4
    turns_per_image: int = 1
    warm_up: float = 0.03
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    optimizer: OptimizerName = "adamw"
    clip: float = 1.0
    seed: int = 0
    checkpoint_steps: int = 500
    parts: Parts = "adapted"

    def __post_init__(self) -> None:
        """Refuse values that could only fail later."""
        for field in ("batch", "micro_batch", "turns_per_image", "checkpoint_steps"):
            if getattr(self, field) < 1:
                raise RecipeError(f"{field}: {getattr(self, field)} is not a positive whole number")
        if not 0 <= self.seed <= _MOST_SEED:
            raise RecipeError(f"seed: {self.seed} is not a whole number from 0 to {_MOST_SEED}")
        if not self.stages:
            raise RecipeError("stages: there is none")
        if not 0 <= self.warm_up < 1:
            raise RecipeError(f"warm_up: {self.warm_up} is not a share from 0 up to 1")

    def as_json(self) -> dict[str, Any]:
        """Return plain data that names every choice."""
        return asdict(self)


def _small(name: str, stages: tuple[Stage, ...]) -> Recipe:
    """Build a recipe for a model of a few million parameters, on the synthetic world."""
    return Recipe(
        name,
        stages,
        batch=16,
        micro_batch=16,
        turns_per_image=4,
        betas=(0.9, 0.98),
        checkpoint_steps=100,
        optimizer="muon",
    )


RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("paper", (Stage("I", 2e-4), Stage("II", 1e-4), Stage("III", 5e-5))),
        _small(
            "pheye-tiny",  # from stage 0's parts, on the synthetic world
            (
                Stage("I", 2e-3, steps=2400),
                Stage("II", 1e-3, steps=1800),
                Stage("III", 5e-4, steps=900),
                Stage("reading", 1.2e-3, steps=4400),
                Stage("polish", 4e-4, steps=1200),
            ),
        ),
        _small(
            "pheye-tiny-level-3",  # from what `pheye-tiny` gives at level 2, with `--level 3`, on the signs
            (Stage("level 3", 8e-4, steps=2600),),
        ),
        _small(
            "pheye-tiny-truthful",  # from what `pheye-tiny-level-3` gives, on the stream `truthful`
            (Stage("truthful", 6e-4, steps=1500),),
        ),
        replace(
            _small(
                "pheye-tiny-whole",  # from what `pheye-tiny-truthful` gives, on the same stream
                (Stage("whole", 6e-4, steps=1200),),
            ),
            parts="everything",
        ),
        _small(
            "ablation",  # of `pheye dev ablate`, from pheye-tiny's frozen parts
            (Stage("I", 2e-3, steps=600),),
        ),
        Recipe("finetune", (Stage("finetune", 5e-5),)),  # what the paper does last, for one's own data
    )
}


def named_recipe(name: str) -> Recipe:
    """Return a recipe by name.

    Raises:
        RecipeError: the name is unknown; the message lists the known ones.
    """
    if name not in RECIPES:
        raise RecipeError(f"recipe: there is no {name!r}; known are {', '.join(RECIPES)}")
    return RECIPES[name]


def changed(recipe: Recipe, whole: Mapping[str, Any], stage: Mapping[str, Any]) -> Recipe:
    """Change some fields of a recipe, and some of every stage; None changes nothing.

    Epochs given here count for every stage, also for one that has a number of steps.

    >>> changed(RECIPES["paper"], {"batch": 8}, {"steps": 10}).stages[2]
    Stage(name='III', learning_rate=5e-05, steps=10, epochs=1.0)

    Raises:
        RecipeError: a value cannot be used.
    """
    new = {field: value for field, value in stage.items() if value is not None}
    if {"steps", "epochs"} <= new.keys():
        raise RecipeError("steps, epochs: only one of the two")
    if "epochs" in new:
        new["steps"] = None
    stages = tuple(replace(each, **new) for each in recipe.stages)
    return replace(recipe, stages=stages, **{field: value for field, value in whole.items() if value is not None})


def with_steps(recipe: Recipe, lengths: Sequence[int]) -> list[Stage]:
    """Return the recipe's stages with the number of their steps.

    Args:
        recipe: whose stages.
        lengths: samples of each stage's source, or of one source for all.

    Raises:
        RecipeError: the recipe does not fit the data.
    """
    if len(lengths) not in (1, len(recipe.stages)):
        raise RecipeError(f"{len(lengths)} sources for {len(recipe.stages)} stages; give one, or one for each stage")
    stages = []
    for number, stage in enumerate(recipe.stages):
        length = lengths[min(number, len(lengths) - 1)]
        if stage.steps is None and length >= ENDLESS:
            raise RecipeError(f"stage {stage.name}: its data have no end, so it needs a number of steps (--steps)")
        steps = stage.steps if stage.steps is not None else max(1, round(stage.epochs * length / recipe.batch))
        stages.append(replace(stage, steps=steps))
    return stages


def learning_rate(stage: Stage, step: int, steps: int, warm_up: float) -> float:
    """Compute the learning rate of a step counted from 0: a linear rise, then half a cosine down to zero (section 3.1).

    >>> [round(learning_rate(Stage("I", 1.0), step, 10, 0.2), 3) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.038]
    """
    rise = math.ceil(warm_up * steps)
    if step < rise:
        return stage.learning_rate * (step + 1) / rise
    return stage.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
