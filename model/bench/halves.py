"""Model under test with only the measured half large, and both sides of the benchmark on the same tensors.

At full size a half takes gigabytes, so what a workload does not use is replaced by a few layers. Naive twin and fast
path share every tensor that the fast path uses as it is stored. One thread at a time; tensors are made in several.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from model.checkpoint.checkpoint import Checkpoint
from model.checkpoint.random_tensors import RandomTensors
from model.config import PheyeConfig, named_geometry
from model.layout import tensor_shapes
from model.network.pheye import Pheye
from model.reference.load import naive_twin, ready_tensors
from model.reference.naive import NaivePheye
from model.runtime.hardware import Precision

Half = Literal["vision", "decoder"]
_PREFIXES: Mapping[Half, str] = {"vision": "vision_encoder.", "decoder": "lang_encoder."}
_STAND_IN = named_geometry("pheye-micro")


def trimmed(checkpoint: Checkpoint, halves: frozenset[Half]) -> Checkpoint:
    """Replace the halves of a checkpoint that are not named by stand-ins of random weights.

    A stand-in keeps what the other half needs of it: width and tokens of the image features.
    """
    config = checkpoint.config
    if "vision" not in halves:
        config = replace(config, vision=replace(config.vision, layers=1))
    if "decoder" not in halves:
        interval = _STAND_IN.cross_interval
        config = replace(config, decoder=_STAND_IN.decoder, cross_interval=interval, from_layer=0, reduce=1)
    tensors = _Mixed(config, checkpoint, tuple(_PREFIXES[half] for half in halves))
    return replace(checkpoint, config=config, tensors=tensors)


class _Mixed(RandomTensors):
    """Tensors of a checkpoint under some prefixes, random ones under the others; each made when it is read."""

    def __init__(self, config: PheyeConfig, checkpoint: Checkpoint, prefixes: tuple[str, ...]) -> None:
        super().__init__(tensor_shapes(config, checkpoint.ranks))
        self._stored = checkpoint.tensors
        self._prefixes = prefixes

    def __getitem__(self, name: str) -> Tensor:
        return self._stored[name] if name.startswith(self._prefixes) else super().__getitem__(name)


@dataclass(frozen=True, slots=True)
class Twin:
    """Naive twin, and the tensors it computes with, for a fast path to share."""

    model: NaivePheye
    checkpoint: Checkpoint
    device: torch.device
    dtype: torch.dtype


def load_twin(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> Twin:
    """Load every tensor once, to the device and dtype of the computation, and build the naive twin around them."""
    held = replace(checkpoint, tensors=ready_tensors(checkpoint, device, dtype))
    return Twin(naive_twin(held, device, dtype), held, device, dtype)


def load_fast(twin: Twin, precision: Precision) -> Pheye:
    """Build the fast path on the twin's tensors."""
    fast = Pheye(
        twin.checkpoint.tensors,
        twin.checkpoint.config,
        twin.device,
        precision.dtype,
        bits=precision.bits,
        image_dtype=precision.image_dtype,
    )
    fast.prepare_compiled(wait=True)
    return fast
