"""Decode steps and prompts of a decoder whose layers are compiled, over whichever slots they are asked for.

Called by the engine's thread only.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from model.config import PheyeConfig
from model.machine.cores import WIDE
from model.network.compiled.compilation import available
from model.network.compiled.compilation.background import CompiledCode
from model.network.compiled.loops.sizes import CHANNELS
from model.network.compiled.packing import BLOCK_OUTPUTS
from model.network.compiled.parts import MOST_TOKENS, DecoderParts
from model.network.decoder import Decoder
from model.network.slots import Slots

if TYPE_CHECKING:
    from model.network.compiled.steps import CompiledSteps

_MANY = 8  # tokens of a prompt, which look at the image together; fewer do so sooner one by one


def fits(config: PheyeConfig) -> bool:
    """Return whether compiled steps know the widths of this geometry's heads and layers."""
    heads = config.decoder.head_width, config.inner_width // config.cross_heads
    layers = config.decoder.width, config.decoder.mlp_width, config.inner_width, config.cross_mlp_width
    return not any(width % CHANNELS for width in heads) and not any(width % BLOCK_OUTPUTS for width in layers)


def compiles_floats(config: PheyeConfig, device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether a model's decode steps in this dtype are compiled, whose weights are not rounded.

    Those of a small model on a CPU are: it is limited by calls, and its weights may be held twice.
    """
    is_small = config.decoder.width < WIDE and fits(config)
    is_faster = available.installed() and available.fuses_floats()
    return device.type == "cpu" and dtype == torch.float32 and is_small and is_faster


class CompiledDecoder:
    """Decoder that decodes by compiled steps.

    Args:
        decoder: whose layers they are.
        code: what prepares the compiled code behind the model's back; none if it was prepared with the layers.
    """

    def __init__(self, decoder: Decoder, code: CompiledCode | None = None) -> None:
        self._decoder, self._code = decoder, code
        self._steps: WeakKeyDictionary[Slots, CompiledSteps] = WeakKeyDictionary()

    @property
    def ready(self) -> bool:
        """Compiled code is there; until then, steps are torch's."""
        return self._code is None or self._code.ready

    @property
    def reads_prompts(self) -> bool:
        """Prompts are read by it, too: those of small models, whose layers are float32."""
        return self._code is not None and self._code.ready

    @cached_property
    def _parts(self) -> DecoderParts:
        parts = self._decoder.parts()
        assert parts is not None
        return parts

    @classmethod
    def of(
        cls, decoder: Decoder, config: PheyeConfig, code: CompiledCode | None, *, absorbed: bool
    ) -> CompiledDecoder | None:
        """Return a decoder's compiled steps; None if its layers are not compiled, or have widths that are not known."""
        if code is not None:
            return cls(decoder, code)
        parts = None if absorbed or not fits(config) else decoder.parts()
        return None if parts is None or parts.embedding.dtype != torch.float32 else cls(decoder)

    def decode(self, slots: Slots, rows: Sequence[int], tokens: Sequence[int]) -> Tensor:
        """Append one token to each row, and return logits [B, vocab]; the rows' lengths are left as they are."""
        positions = [slots.lengths[row] for row in rows]
        return self._of(slots).append(rows, tokens, positions, [slots.image_slot(row) for row in rows])

    def prefill(
        self, slots: Slots, rows: Sequence[int], prompts: Sequence[Sequence[int]], starts: Sequence[int]
    ) -> Tensor:
        """Append tokens to rows from `starts` on, and return logits after each row's last one [B, vocab].

        A text says the same whatever else is read; if it is short, also to the last bit what decode steps would say,
        and if not, what they would say but for the rounding of attention to the image.
        """
        steps, most = self._of(slots), MOST_TOKENS
        places = [
            (row, token, start + offset, slots.image_slot(row), len(prompt) >= _MANY, offset + 1 == len(prompt))
            for row, prompt, start in zip(rows, prompts, starts, strict=True)
            for offset, token in enumerate(prompt)
        ]
        ends = []
        for first in range(0, len(places), most):
            some = places[first : first + most]
            owners, tokens, positions, images, by_panels, are_last = zip(*some, strict=True)
            logits = steps.append(owners, tokens, positions, images, by_panels)
            ends.append(logits[torch.tensor(are_last)])
        return torch.cat(ends)

    def _of(self, slots: Slots) -> CompiledSteps:
        """Return the steps over some slots, made when they are first asked for."""
        steps = self._steps.get(slots)
        if steps is None:
            from model.network.compiled.steps import CompiledSteps, Memory

            images = slots.images
            steps = CompiledSteps(self._parts, Memory(slots.keys, slots.values, images.keys, images.values))
            self._steps[slots] = steps
        return steps
