"""Decode steps of a decoder whose layers are compiled, over whichever slots they are asked for.

Called by the engine's thread only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from model.config import PheyeConfig
from model.network.compiled.packing import BLOCK_OUTPUTS
from model.network.compiled.parts import CHANNELS, DecoderParts
from model.network.decoder import Decoder
from model.network.slots import Slots

if TYPE_CHECKING:
    from model.network.compiled.steps import CompiledSteps


def fits(config: PheyeConfig) -> bool:
    """Return whether compiled steps know the widths of this geometry's heads and layers."""
    heads = config.decoder.head_width, config.inner_width // config.cross_heads
    layers = config.decoder.width, config.decoder.mlp_width, config.inner_width, config.cross_mlp_width
    return not any(width % CHANNELS for width in heads) and not any(width % BLOCK_OUTPUTS for width in layers)


class CompiledDecoder:
    """Decoder that decodes by compiled steps."""

    def __init__(self, parts: DecoderParts) -> None:
        self._parts = parts
        self._steps: WeakKeyDictionary[Slots, CompiledSteps] = WeakKeyDictionary()

    @classmethod
    def of(cls, decoder: Decoder, config: PheyeConfig, *, absorbed: bool) -> CompiledDecoder | None:
        """Return a decoder's compiled steps; None if its layers are not compiled, or have widths that are not known."""
        if absorbed or not fits(config):
            return None
        parts = decoder.parts()
        return None if parts is None or parts.embedding.dtype != torch.float32 else cls(parts)

    def decode(self, slots: Slots, rows: Sequence[int], tokens: Sequence[int]) -> Tensor:
        """Append one token to each row, and return logits [B, vocab]; the rows' lengths are left as they are."""
        steps = self._steps.get(slots)
        if steps is None:
            from model.network.compiled.steps import CompiledSteps, Memory

            images = slots.images
            steps = CompiledSteps(self._parts, Memory(slots.keys, slots.values, images.keys, images.values))
            self._steps[slots] = steps
        positions = [slots.lengths[row] for row in rows]
        return steps.decode(rows, tokens, positions, [slots.image_slot(row) for row in rows])
