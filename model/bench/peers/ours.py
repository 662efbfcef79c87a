"""Our side of a comparison with peers: the fast path's decoder or its vision encoder alone, which time their own work.

A half is loaded from a checkpoint whose other half is a stand-in, in one number format; nothing else is held. One
thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.bench.halves import trimmed
from model.bench.model_under_test import noise_features
from model.bench.sides import FastRows
from model.bench.timing import Stopwatch
from model.checkpoint.checkpoint import CPU, Checkpoint
from model.network.pheye import Pheye
from model.pixels.tiles import ImageKey
from model.runtime.hardware import Precision, choose_precision

Prompts = Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class LoadedHalf:
    """Fast path in one number format."""

    model: Pheye
    precision: Precision


def load_decoder(checkpoint: Checkpoint, dtype: str) -> LoadedHalf:
    """Load the fast path with the decoder at its full size."""
    return _loaded(trimmed(checkpoint, frozenset({"decoder"})), dtype)


def load_encoder(checkpoint: Checkpoint, dtype: str) -> LoadedHalf:
    """Load the fast path with the vision encoder at its full size."""
    return _loaded(trimmed(checkpoint, frozenset({"vision"})), dtype)


@torch.inference_mode()
def _loaded(checkpoint: Checkpoint, dtype: str) -> LoadedHalf:
    precision = choose_precision(dtype, CPU, checkpoint.config)
    image_dtype = precision.image_dtype
    model = Pheye(
        checkpoint.tensors, checkpoint.config, CPU, precision.dtype, bits=precision.bits, image_dtype=image_dtype
    )
    model.prepare_compiled(wait=True)
    return LoadedHalf(model, precision)


class DecoderSteps:
    """Rows that have read their prompts, each about an image of its own, and decode the same step again and again."""

    @torch.inference_mode()
    def __init__(self, half: LoadedHalf, prompts: Prompts, watch: Stopwatch) -> None:
        self._watch = watch
        self._rows = FastRows(half.model, len(prompts), len(prompts[0]) + 1, [], half.precision.image_dtype)
        images = self._rows.unseen(_features(half, len(prompts)))
        self._tokens = self._rows.read(images, prompts)

    @torch.inference_mode()
    def step_s(self, steps: int) -> float:
        """Decode some steps, and return the mean seconds of one."""
        return self._watch.mean(lambda _: self._rows.repeat(self._tokens), steps)[-1]


class DecoderPrompt:
    """A prompt about an image, which is read anew each time."""

    @torch.inference_mode()
    def __init__(self, half: LoadedHalf, prompt: Sequence[int], watch: Stopwatch) -> None:
        self._watch = watch
        self._rows = FastRows(half.model, 1, len(prompt) + 1, [], half.precision.image_dtype)
        self._features, self._prompt = _features(half, 1), prompt

    @torch.inference_mode()
    def prefill_s(self) -> float:
        """Admit the image and prefill the prompt, and return the seconds."""
        images: Mapping[ImageKey, Tensor] = self._rows.unseen(self._features)
        seconds = self._watch.once(lambda _: self._rows.read(images, [self._prompt]))[1][-1]
        self._rows.free()
        return seconds


def _features(half: LoadedHalf, images: int) -> list[Tensor]:
    return [each.to(half.model.dtype) for each in noise_features(half.model.config, images)]
