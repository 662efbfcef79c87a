"""Run by torchrun in test_trainer: one training process of several, which leaves the gradients of its first step."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from tests.model.training.test_trainer import RECIPE, first_gradients, trainer, validated

if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    one = trainer(folder, RECIPE)
    gradients = first_gradients(one)
    if one.is_main:
        save_file(gradients, folder / "gradients.safetensors")
    reports = list(trainer(folder / "run", RECIPE).run())
    list(validated(folder / "validated", total=2).run())
    one.close()
    sys.exit(len(reports) != RECIPE.stages[0].steps)
