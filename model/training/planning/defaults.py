"""Defaults of fine-tuning that suit the number of one's own images. Pure; any thread.

The paper trains on 1.2 million samples with batches of 128. Fifty pictures would be not even one such step: they need
small batches, several passes, and a learning rate at which so few steps teach something and yet forget little.
`docs/training.md` shows what these defaults did on fifty pictures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from model.training.recipe import Recipe

_SMALLEST_BATCH, _PASSES_A_BATCH = 4, 5  # a batch is about a fifth of a small set, so that an epoch has some steps
_STEPS = 120  # about so many are aimed at
_MOST_EPOCHS = 20
_MOST_TURNS = 4  # of one image in a step; they share its features and so cost little
_CHECKPOINTS = 10  # of a run: its steps may take minutes
_SMALL_WIDTH = 1024  # of a decoder, below which a larger learning rate is right
_SMALL_RATE, _FEW_RATE = 3e-4, 1e-4


@dataclass(frozen=True, slots=True)
class Asked:
    """Numbers that were asked for instead of defaults; None where a default is wanted."""

    batch: int | None = None
    steps: int | None = None
    epochs: float | None = None


def suited(
    recipe: Recipe, images: int, turns: int, width: int, asked: Asked = Asked()
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the changes to a recipe, and those to its stages, that suit a number of images.

    Args:
        recipe: `finetune`.
        images: to learn from.
        turns: about them.
        width: of the model's decoder.
        asked: what is not to be chosen here, and what else depends on it: checkpoints follow the number of steps.

    >>> from model.training.recipe import RECIPES
    >>> suited(RECIPES["finetune"], 45, 45, 2560)
    ({'batch': 8, 'turns_per_image': 1, 'checkpoint_steps': 11}, {'epochs': 20, 'learning_rate': 0.0001})
    >>> suited(RECIPES["finetune"], 1_000_000, 2_000_000, 2560)
    ({'batch': 128, 'turns_per_image': 2, 'checkpoint_steps': 500}, {'epochs': 1, 'learning_rate': 5e-05})
    """
    fifth = 2 ** math.floor(math.log2(max(1, images / _PASSES_A_BATCH)))
    chosen = asked.batch or min(recipe.batch, max(_SMALLEST_BATCH, fifth))
    epochs = min(_MOST_EPOCHS, max(1, math.ceil(_STEPS * chosen / images)))
    rate = _SMALL_RATE if width < _SMALL_WIDTH else _FEW_RATE if epochs > 1 else recipe.stages[0].learning_rate
    steps = asked.steps or max(1, round((asked.epochs or epochs) * images / chosen))
    whole = {
        "batch": chosen,
        "turns_per_image": min(_MOST_TURNS, math.ceil(turns / images)),
        "checkpoint_steps": min(recipe.checkpoint_steps, max(1, round(steps / _CHECKPOINTS))),
    }
    return whole, {"epochs": epochs, "learning_rate": rate}
