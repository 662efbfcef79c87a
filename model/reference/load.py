"""Loading of the naive twin: a checkpoint's tensors on the device and in the dtype of the computation.

Nothing is initialised only to be overwritten, so that a full-size model is there as soon as its tensors are. One thread
at a time; tensors are made in several.
"""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor

import torch
from accelerate import init_empty_weights  # comes with peft
from torch import Tensor

from model.checkpoint.checkpoint import Checkpoint
from model.machine.cores import usable_cores
from model.reference.naive import NaivePheye


def ready_tensors(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return every tensor by its name, moved and cast."""

    def ready(name: str) -> Tensor:
        return checkpoint.tensors[name].to(device=device, dtype=dtype)

    with ThreadPoolExecutor(usable_cores()) as pool:
        return dict(zip(checkpoint.tensors, pool.map(ready, checkpoint.tensors), strict=True))


def naive_twin(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> NaivePheye:
    """Build the naive twin, ready to answer; it shares tensors that need not be moved or cast."""
    with init_empty_weights(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by an old name
        model = NaivePheye(checkpoint.config, checkpoint.ranks).eval()
    model.load_state_dict(ready_tensors(checkpoint, device, dtype), strict=True, assign=True)
    return model.to(device)
