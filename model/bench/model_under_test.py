"""Model under test: the fast path and the naive twin, the costs of their passes, and their input.

Inputs are drawn from fixed seeds. Prompts begin alike, as those of the service do (its system prompt), and end at
unequal lengths. One thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.bench.halves import Twin
from model.bench.roofline.floors import PassCosts
from model.bench.sides import FastRows
from model.complexity import PAPER_TEXT_TOKENS, PREFIX_TOKENS
from model.config import PheyeConfig
from model.network.pheye import Pheye
from model.pixels.tiles import Tiles
from model.runtime.hardware import Precision

COMMON_SHARE = PREFIX_TOKENS / PAPER_TEXT_TOKENS  # of a prompt's tokens that every prompt begins with


@dataclass(frozen=True, slots=True)
class ModelUnderTest:
    """Both sides of one model, with their costs and inputs.

    Attributes:
        twin: the naive one, and where it computes.
        fast: the fast path.
        precision: its number format.
        costs: of the fast path's passes.
        prompt_tokens: of the longest prompt.
        shared_image: whether rows of a batch look at one image, not at one each.
    """

    twin: Twin
    fast: Pheye
    precision: Precision
    costs: PassCosts
    prompt_tokens: int
    shared_image: bool

    @property
    def common(self) -> int:
        """Number of tokens that all prompts begin with."""
        return int(COMMON_SHARE * self.prompt_tokens)

    def slots(self, rows: int, tokens: int) -> FastRows:
        """Allocate slots of the fast path for so many rows and answers of so many tokens."""
        prefix = self.prompts(1)[0][: self.common]
        return FastRows(self.fast, rows, self.prompt_tokens + tokens, prefix, self.precision.image_dtype)

    def images(self, rows: int) -> int:
        """Number of images that so many rows look at."""
        return 1 if self.shared_image else rows

    def tiles(self, images: int) -> list[Tiles]:
        """Return noise as images, each uint8 [N, S, S, 3]."""
        return noise_tiles(self.fast.config, images)

    def features(self, images: int) -> list[Tensor]:
        """Return noise as features without positions, each [N, tokens per tile, D_vit] as a layer norm leaves them."""
        return [each.to(self.twin.device, self.twin.dtype) for each in noise_features(self.fast.config, images)]

    def placed(self, images: Sequence[Tensor]) -> list[Tensor]:
        """Add the positions of tiles to features without them, as the naive twin wants them: [V, D_vit] each."""
        return [self.fast.placed(list(image)).to(self.twin.dtype) for image in images]

    def prompts(self, rows: int) -> list[list[int]]:
        """Return token ids of prompts: the first is the longest, each other one is shorter where it can be."""
        ids = np.random.default_rng(0).integers(self.fast.config.decoder.vocab_size, size=(rows, self.prompt_tokens))
        ids[:, : self.common] = ids[0, : self.common]
        own = self.prompt_tokens - self.common
        return [line[: self.prompt_tokens - row * own // rows].tolist() for row, line in enumerate(ids)]

    def continuations(self, rows: int, tokens: int) -> list[list[int]]:
        """Return tokens to go on with: for each of so many steps one token a row."""
        ids = np.random.default_rng(1).integers(self.fast.config.decoder.vocab_size, size=(tokens, rows))
        steps: list[list[int]] = ids.tolist()
        return steps


def noise_tiles(config: PheyeConfig, images: int) -> list[Tiles]:
    """Return noise as images, each uint8 [N, S, S, 3]."""
    side = config.vision.tile_px
    noise = np.random.default_rng(0).integers(256, size=(images, config.tiles, side, side, 3), dtype=np.uint8)
    return list(noise)


def noise_features(config: PheyeConfig, images: int) -> list[Tensor]:
    """Return noise as features without positions, each [N, tokens per tile, D_vit] as a layer norm leaves them."""
    shape = (images, config.tiles, config.vision.tokens_per_tile, config.vision.width)
    return list(torch.randn(shape, generator=torch.Generator().manual_seed(0)))
