"""Training loop of stage 0: parameters, a loss, a log, and a checkpoint from which a killed run goes on.

Stage 0 makes the parts that Pheye keeps frozen (`vision.py`, `text.py`); Pheye's own stages have their own loop, over
several processes, in `model/training/trainer.py`. Knows neither of the two parts. One process, main thread.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from math import cos, pi
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from model.training.optimizers import Optimizer, optimizer_of
from model.whole_files import naming, path_appearing_whole

Batch = dict[str, Tensor]
Step = Callable[[int], tuple[Tensor, dict[str, float]]]


@dataclass(frozen=True, slots=True)
class LearningSchedule:
    """Learning rate and number of steps.

    Attributes:
        steps: optimizer steps.
        rate: the highest learning rate, reached after `warm_up` steps, then a cosine down to a hundredth of it.
        warm_up: steps over which the rate rises.
        decay: weight decay of matrices.
        keep_every: steps between two saves and two lines of the log's accuracies.
    """

    steps: int
    rate: float
    warm_up: int = 200
    decay: float = 0.05
    keep_every: int = 250

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step."""
        if step < self.warm_up:
            return self.rate * (step + 1) / self.warm_up
        gone = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.rate * (0.01 + 0.99 * 0.5 * (1 + cos(pi * gone)))


def fresh(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Create a new parameter: ones and zeros for norms and biases, else a normal draw scaled by its fan-in."""
    if name.endswith(".bias"):
        start = torch.zeros(shape)
    elif "norm" in name:
        start = torch.ones(shape)
    else:
        spread = shape[1] ** -0.5 if len(shape) == 2 and "embed" not in name else 0.02
        start = torch.randn(shape, generator=generator) * spread
    return start.requires_grad_()


def learn(parameters: Mapping[str, Tensor], step: Step, plan: LearningSchedule, folder: Path) -> None:
    """Minimise `step`'s loss; goes on from `folder`'s last save if there is one.

    Args:
        parameters: leaves that require gradients, changed in place.
        step: number of a step -> its loss and what else to log.
        plan: how long.
        folder: where `state.pt` and `log.jsonl` are kept.

    Raises:
        OSError: they cannot be written; the last save is there still.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optimizer = optimizer_of(parameters, "muon", plan.decay, (0.9, 0.98))
    start, began = _resume(parameters, optimizer, folder), time.monotonic()
    for number in range(start, plan.steps):
        loss, numbers = step(number)
        torch.autograd.backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(list(parameters.values()), 1.0)
        optimizer.step(plan.rate_at(number))
        if number % 10 == 9 or numbers:
            pace = (number + 1 - start) / (time.monotonic() - began)
            _log(folder, step=number + 1, loss=float(loss.detach()), norm=float(norm), steps_per_s=pace, **numbers)
        if (number + 1) % plan.keep_every == 0 or number + 1 == plan.steps:
            _save(parameters, optimizer, number + 1, folder)


def saved_step(folder: Path) -> int:
    """Return the number of steps done by the run that `folder` holds; 0 for a new one."""
    path = folder / "state.pt"
    return int(torch.load(path, weights_only=True)["step"]) if path.exists() else 0


class BatchPrefetcher(Iterator[dict[str, Tensor]]):
    """Prefetcher of batches made by worker processes: batch k holds items k n to k n + n - 1."""

    def __init__(self, data: Dataset[dict[str, Tensor]], size: int, workers: int, first: int) -> None:
        numbers = (list(range(batch * size, (batch + 1) * size)) for batch in count(first))
        loader = DataLoader(data, batch_sampler=numbers, num_workers=workers, prefetch_factor=4 if workers else None)
        self._batches = iter(loader)

    def __next__(self) -> dict[str, Tensor]:
        return next(self._batches)


def _log(folder: Path, **numbers: float) -> None:
    path = folder / "log.jsonl"
    with naming(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({name: round(value, 5) for name, value in numbers.items()}) + "\n")


def _save(parameters: Mapping[str, Tensor], optimizer: Optimizer, step: int, folder: Path) -> None:
    state = {"parameters": dict(parameters), "optimizer": optimizer.state_dict(), "step": step}
    with path_appearing_whole(folder / "state.pt") as partial, partial.open("wb") as file:
        torch.save(state, file)  # not by its path: torch's own writer hides what the system says


def _resume(parameters: Mapping[str, Tensor], optimizer: Optimizer, folder: Path) -> int:
    if not (folder / "state.pt").exists():
        return 0
    state = torch.load(folder / "state.pt", weights_only=True)
    with torch.no_grad():
        for name, tensor in parameters.items():
            tensor.copy_(state["parameters"][name])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])
