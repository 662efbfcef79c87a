"""One optimizer step: gradients accumulated over forward passes and processes, divided, clipped, applied.

Also knows when a run is asked to stop: one process gives up a step between two passes, several agree at its end. Knows
no stages, no data and no files. Called by each training process's main thread.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from model.training.batches import TrainingBatch
from model.training.learner import Learner
from model.training.optimizers import Optimizer

_COMPILERS = ("torch._dynamo.", "torch._inductor.")  # where the errors of compiling are; importing them takes a second


class TrainingError(ArithmeticError):
    """Gradients that are not finite, or layers that cannot be compiled; the message says what to do."""


class StopRequested(Exception):
    """The step was given up because the run shall stop; parameters are as they were before it."""


class GradientStep:
    """Optimizer steps of one training process.

    Args:
        accelerator: the group of processes.
        learner: the model, already on its device.
        clip: largest norm of the gradient.

    Attributes:
        stop_asked: this process was asked to stop.
    """

    def __init__(self, accelerator: Accelerator, learner: Learner, clip: float) -> None:
        self._accelerator, self._learner, self._clip = accelerator, learner, clip
        self._model: nn.Module = accelerator.prepare(learner)
        self.stop_asked = False
        self._stop_agreed = False

    @property
    def alone(self) -> bool:
        """True where no other process shares the run."""
        return bool(self._accelerator.num_processes == 1)

    @property
    def stopping(self) -> bool:
        """True when every process knows that the run shall stop."""
        return self._stop_agreed or (self.stop_asked and self.alone)

    def stops_within(self, seconds: float) -> bool:
        """Wait a little for a wish to stop that has reached others already, and return whether it came."""
        end = time.monotonic() + seconds
        while not self.stopping and time.monotonic() < end:
            time.sleep(0.01)
        return self.stopping

    def accumulate(self, batches: Sequence[TrainingBatch]) -> tuple[float, int, int]:
        """Accumulate gradients of the summed loss; returns the sum, right tokens and output tokens of the step.

        Raises:
            StopRequested: between two passes, where this is the only process.
        """
        sums = torch.zeros(4, dtype=torch.float64, device=self._accelerator.device)
        for place, batch in enumerate(batches):
            if self.stopping:
                raise StopRequested
            sums[:3] += self.one_pass(batch, last=place == len(batches) - 1)
        sums[3] = float(self.stop_asked)
        total: Tensor = self._accelerator.reduce(sums, reduction="sum")
        self._stop_agreed = float(total[3]) > 0
        return float(total[0]), int(total[1]), int(total[2])

    def one_pass(self, batch: TrainingBatch, *, last: bool) -> Tensor:
        """Add the gradients of one forward pass, and return its loss, right tokens and output tokens.

        Args:
            batch: the pass's part of the step.
            last: whether processes exchange their gradients now.

        Raises:
            TrainingError: torch cannot compile the layers.
        """
        try:
            with nullcontext() if last else self._accelerator.no_sync(self._model):
                loss, right = self._model(batch.to(self._accelerator.device))
                self._accelerator.backward(loss)
        except RuntimeError as error:
            if not type(error).__module__.startswith(_COMPILERS):
                raise
            inner = getattr(error, "inner_exception", error)
            said = f"{type(inner).__name__}: {inner}".splitlines()[0]
            raise TrainingError(
                f"--compile: torch cannot compile the layers here ({said}); train without it"
            ) from error
        tokens = torch.tensor(batch.output_tokens, dtype=torch.float64)
        return torch.stack([loss.detach().double(), right.double(), tokens.to(loss.device)])

    def update(self, optimizer: Optimizer, rate: float, tokens: int, done: int) -> float:
        """Update the parameters and return the gradient's norm before clipping.

        Raises:
            TrainingError: it is not finite.
        """
        parameters = list(self._learner.trained().values())
        # Processes average their gradients of a sum; what is wanted is the mean over the batch's output tokens.
        scale = self._accelerator.num_processes / tokens
        torch._foreach_mul_([parameter.grad for parameter in parameters if parameter.grad is not None], scale)
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, self._clip))
        if not norm < float("inf"):
            raise TrainingError(f"step {done}: the gradient is {norm}; lower the learning rate or look at the data")
        optimizer.step(rate)
        return norm
