"""Answers by the naive twin, the simplest way: encode the image anew, then decode one token at a time.

The baseline that the service is measured against. Owns one loaded twin and nothing else: no batching, no cache, no
slots. One thread at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.checkpoint.checkpoint import Checkpoint, open_checkpoint
from model.pixels.tiles import Tiles
from model.prompt import render
from model.reference.load import naive_twin
from model.request import FinishReason
from model.runtime.hardware import choose_precision, resolve_device


@dataclass(frozen=True, slots=True)
class NaiveAnswer:
    """Answer and its costs; the end token counts as generated."""

    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int


class NaiveAnswers:
    """Naive twin with a checkpoint's weights, ready to answer.

    Args:
        checkpoint: what to run.
        device: where.
        dtype: in which number format.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        self.config = checkpoint.config
        self.device = device
        self._dtype = dtype
        self._tokenizer = checkpoint.tokenizer
        self._twin = naive_twin(checkpoint, device, dtype)

    @property
    def dtype_name(self) -> str:
        """Name of the number format it computes in, as `float32`."""
        return str(self._dtype).removeprefix("torch.")

    @torch.inference_mode()
    def answers(self, tiles: Tiles, instructions: Sequence[str], max_tokens: int) -> list[NaiveAnswer]:
        """Answer instructions about one image greedily, one after another; its tiles are uint8 [N, S, S, 3]."""
        vision = self._twin.vision_encoder
        features = vision(vision.pixels(torch.from_numpy(tiles)).unsqueeze(0))  # [1, V, D_vit]
        return [self._answer(features, instruction, max_tokens) for instruction in instructions]

    def _answer(self, features: Tensor, instruction: str, max_tokens: int) -> NaiveAnswer:
        prompt = self._tokenizer.encode(render(instruction))
        tokens = self._twin.generate(prompt, features, max_tokens, self._tokenizer.eos_id)
        ended: FinishReason = "stop" if tokens[-1] == self._tokenizer.eos_id else "length"
        return NaiveAnswer(self._tokenizer.decode(tokens).lstrip(), ended, len(prompt), len(tokens))


def load_naive(source: str, revision: str | None, device: str, dtype: str, threads: int) -> NaiveAnswers:
    """Open and load a model into the naive twin; the arguments are those of `model.runtime.load.load_runner`.

    Raises:
        ValueError: the model cannot be run like this; the message says what to change.
    """
    if dtype in ("int8", "int4"):
        raise ValueError(f"dtype: the naive twin knows no {dtype}; choose float32 or bfloat16")
    where = resolve_device(device)
    checkpoint = open_checkpoint(source, revision, where)
    if threads:  # else torch's own choice, as most people leave it
        torch.set_num_threads(threads)
    return NaiveAnswers(checkpoint, where, choose_precision(dtype, where, checkpoint.config).dtype)
