"""Muon that orthogonalises matrices of one shape together, in a format that the processor multiplies.

torch's own Muon (Jordan et al. 2024) takes one matrix after another and computes in bfloat16 everywhere. A processor
without bfloat16 instructions takes seconds for that. This one keeps torch's states, options and update, and replaces
the products. Main thread of a training process.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from model.runtime.hardware import multiplies_bf16


class BatchedMuon(torch.optim.Muon):
    """Muon whose update of equal shapes is one batch of products: bfloat16 where that is computed fast, else float32.

    States are those of `torch.optim.Muon`, so a run that was begun with it goes on with this one. Learning rates are
    matched to AdamW's (arXiv 2502.16982, section 2.2).

    Args:
        parameters: matrices.
        weight_decay: of all of them.
        lr: learning rate; a schedule changes it in `param_groups`.
    """

    def __init__(self, parameters: Iterable[Tensor], weight_decay: float, lr: float = 1e-3) -> None:
        super().__init__(parameters, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient.

        Args:
            closure: not supported, as the gradients are there already.

        Raises:
            ValueError: a closure was given.
        """
        if closure is not None:
            raise ValueError("closure: compute the gradients before the step")
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike[parameter.shape].append(parameter)
            for shape, parameters in alike.items():
                updates = torch.stack([self._momentum(parameter, group["momentum"]) for parameter in parameters])
                updates = orthogonalised(updates, group["ns_coefficients"], group["ns_steps"], group["eps"])
                rate = group["lr"] * 0.2 * max(shape) ** 0.5
                for parameter, update in zip(parameters, updates, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update, alpha=-rate)
        return None

    def _momentum(self, parameter: Tensor, momentum: float) -> Tensor:
        """Fold a gradient into its mean, and return the mean as Nesterov looks ahead to it."""
        assert parameter.grad is not None
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter.grad)
        mean: Tensor = state["momentum_buffer"].lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(mean, momentum)


def orthogonalised(
    matrices: Tensor, coefficients: Sequence[float], steps: int, least: float, dtype: torch.dtype | None = None
) -> Tensor:
    """Return matrices near the closest orthogonal ones, by Newton-Schulz iterations of the fifth order.

    Args:
        matrices: [N, rows, columns].
        coefficients: of the iteration, three; torch's bring singular values to 0.7 - 1.2 within five steps.
        steps: iterations.
        least: bound from below of the norm that a matrix is divided by.
        dtype: of the products; None for bfloat16 where the device multiplies it, else float32.

    Returns:
        [N, rows, columns] of `dtype`.
    """
    a, b, c = coefficients
    if dtype is None:
        dtype = torch.bfloat16 if multiplies_bf16(matrices.device) else torch.float32
    tall = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if tall else matrices).to(dtype)
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=least)
    for _ in range(steps):
        gram = x @ x.mT
        gram = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, gram, x, beta=a)
    return x.mT if tall else x
