"""Models that correctness is checked on: small enough to be run in every way within seconds.

One thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import torch

from model.checkpoint.checkpoint import Checkpoint, open_checkpoint, random_checkpoint
from model.config import PheyeConfig, named_geometry

SHALLOW = "Pheye-x4-448 of 4 layers"
MICRO, TINY = "random:pheye-micro", "pheye-tiny"
SUBJECTS = (MICRO, TINY, SHALLOW)


def shallow() -> PheyeConfig:
    """Return a published geometry at full width, with few layers of either transformer."""
    config = named_geometry("Pheye-x4-448")
    return replace(
        config,
        name=SHALLOW,
        vision=replace(config.vision, layers=2),
        decoder=replace(config.decoder, layers=4),
    )


@lru_cache(maxsize=len(SUBJECTS))
def subject(name: str, device: torch.device) -> Checkpoint:
    """Open a checkpoint by its name here, every tensor in memory on the device as it is stored."""
    checkpoint = random_checkpoint(shallow(), device) if name == SHALLOW else open_checkpoint(name)
    tensors: Mapping[str, torch.Tensor] = {key: tensor.to(device) for key, tensor in checkpoint.tensors.items()}
    return replace(checkpoint, tensors=tensors)
