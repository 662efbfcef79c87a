"""Optimizers of training: AdamW, as the paper has it, or Muon for matrices with AdamW for the rest.

Muon (Jordan et al. 2024; `muon.py`) turns a matrix's momentum into its nearest orthogonal matrix before the step. The
small models of this project, which start from nothing, learn to read several times sooner with it. Knows parameters by
their canonical names and nothing of a model. Main thread of a training process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from model.training.muon import BatchedMuon

OptimizerName = Literal["adamw", "muon"]


@dataclass(frozen=True, slots=True)
class Optimizer:
    """Pair of torch optimizers over disjoint parameters, or a single one, used as one."""

    parts: tuple[torch.optim.Optimizer, ...]

    def step(self, rate: float) -> None:
        """Update the parameters from their gradients at a learning rate, and clear the gradients."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate
            part.step()
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """Return the state that `load_state_dict` takes."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a saved state."""
        for part, saved in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(saved)


def optimizer_of(
    parameters: Mapping[str, Tensor], name: OptimizerName, decay: float, betas: tuple[float, float]
) -> Optimizer:
    """Create the optimizer of trained parameters.

    Args:
        parameters: by canonical name.
        name: `muon` takes whole matrices within layers and leaves embeddings, heads, adapters and vectors to AdamW.
        decay: weight decay of matrices; vectors and tile positions have none.
        betas: of AdamW.
    """
    matrices = [key for key in parameters if name == "muon" and _is_inner_matrix(key, parameters[key])]
    others = [key for key in parameters if key not in set(matrices)]
    plain = [key for key in others if parameters[key].ndim <= 1 or "connector" in key]
    groups = [
        {"params": [parameters[key] for key in others if key not in set(plain)], "weight_decay": decay},
        {"params": [parameters[key] for key in plain], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, betas=betas, fused=True)
    if not matrices:
        return Optimizer((adamw,))
    inner = [parameters[key] for key in matrices]
    return Optimizer((BatchedMuon(inner, decay), adamw))


def _is_inner_matrix(name: str, tensor: Tensor) -> bool:
    return tensor.ndim == 2 and ".layers." in name and ".lora_" not in name
