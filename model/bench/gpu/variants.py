"""Variants of the runner, for checks and timings to choose from. One thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from model.checkpoint.checkpoint import Checkpoint
from model.runtime.hardware import Precision
from model.runtime.runner import DecodeForm, ModelRunner

Attention = Literal["projected", "absorbed"]


@dataclass(frozen=True, slots=True)
class DecodeVariant:
    """Choice of attention form and of graphs for decode steps.

    Attributes:
        graphs: whether steps are recorded once and replayed (CUDA graphs).
        attention: whether an image's keys and values are kept, or queries meet its features.
    """

    graphs: bool
    attention: Attention

    @property
    def name(self) -> str:
        """Name of the variant in words.

        >>> DecodeVariant(graphs=True, attention="absorbed").name
        'graphs, absorbed'
        """
        return f"{'graphs' if self.graphs else 'eager'}, {self.attention}"


EAGER = DecodeVariant(graphs=False, attention="projected")
VARIANTS = (
    DecodeVariant(graphs=True, attention="projected"),
    DecodeVariant(graphs=True, attention="absorbed"),
    EAGER,
    DecodeVariant(graphs=False, attention="absorbed"),
)


def new_runner(
    checkpoint: Checkpoint,
    device: torch.device,
    dtype: torch.dtype,
    variant: DecodeVariant,
    *,
    slots: int,
    context_tokens: int,
    feature_cache_bytes: int = 1 << 30,
) -> ModelRunner:
    """Load a warmed-up runner of this variant; where nothing can be recorded, its steps still have fixed shapes."""
    recorded: DecodeForm = "recorded" if device.type == "cuda" else "fixed"
    runner = ModelRunner(
        checkpoint,
        device,
        Precision(dtype, "measured"),
        slots=slots,
        context_tokens=context_tokens,
        feature_cache_bytes=feature_cache_bytes,
        steps=recorded if variant.graphs else "eager",
        absorbed=variant.attention == "absorbed",
    )
    runner.warm_up()
    return runner
