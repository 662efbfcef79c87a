"""Pheye, the fast path: vision encoder and decoder over slots.

Four operations, in the order a request meets them: `encode_tiles`, `admit_image`, `prefill`, `decode`. Each is batched.
Knows no text. Called by the engine's thread only; its naive twin is `model/reference/naive.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from model.config import PheyeConfig
from model.network.cross_attention import Watch
from model.network.decoder import Batch, Decoder
from model.network.layers import Weights
from model.network.slots import Slots
from model.network.vision import VisionEncoder
from model.tiles import Tiles


class Pheye:
    """A loaded model.

    Args:
        tensors: every tensor of a checkpoint by canonical name (see `model/checkpoint/checkpoint.py`).
        config: its geometry.
        device: where it computes.
        dtype: what it computes in.
        int8: whether its linear layers multiply in int8.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        config: PheyeConfig,
        device: torch.device,
        dtype: torch.dtype,
        *,
        int8: bool = False,
    ) -> None:
        self.config = config
        self.device = device
        self.dtype = dtype
        weights = Weights(tensors, device, dtype, int8=int8)
        self._vision = VisionEncoder(weights.at("vision_encoder"), config)
        self._decoder = Decoder(weights.at("lang_encoder"), config)

    def new_slots(self, count: int, context_tokens: int, prefix: Sequence[int] = ()) -> Slots:
        """Empty slots for `count` running rows of up to `context_tokens` tokens that all begin with `prefix`."""
        return Slots(self.config, count, context_tokens, self.device, self.dtype, prefix)

    def encode_tiles(self, tiles: Tiles, indices: Sequence[int]) -> Tensor:
        """Features of tiles of any images, in one pass per adapter.

        Args:
            tiles: uint8 [n, S, S, 3].
            indices: index of each tile in its image; 0 is the global view [n].

        Returns:
            Features [n, tokens per tile, D_vit].
        """
        pixels = torch.from_numpy(np.ascontiguousarray(tiles)).to(self.device)
        index = torch.tensor(indices, device=self.device)
        is_global = index == 0
        if bool(is_global.all()):
            return self._vision.encode_global(pixels)
        if not bool(is_global.any()):
            return self._vision.encode_local(pixels, index)
        local = self._vision.encode_local(pixels[~is_global], index[~is_global])
        features = local.new_empty(len(indices), *local.shape[1:])
        features[~is_global] = local
        features[is_global] = self._vision.encode_global(pixels[is_global])
        return features

    def admit_image(self, slots: Slots, key: str, features: Tensor) -> None:
        """Give an image a slot and fill it with what cross-attention needs; features [V, D_vit]."""
        self._decoder.project(features.to(self.device, self.dtype), slots, slots.claim_image(key))

    def prefill(
        self,
        slots: Slots,
        rows: Sequence[int],
        prompts: Sequence[Sequence[int]],
        starts: Sequence[int] = (),
        watch: Watch | None = None,
    ) -> Tensor:
        """Read the prompts of newly occupied rows together, whatever their lengths.

        Args:
            slots: where the rows are.
            rows: their slots.
            prompts: tokens of each.
            starts: how many tokens of each are in its slot already, fewer than all; none if not given.
            watch: whose attention to remember; its columns count from a row's start.

        Returns:
            Logits after each prompt's last token [B, vocab].
        """
        starts = list(starts) or [0] * len(rows)
        rests = [prompt[start:] for prompt, start in zip(prompts, starts, strict=True)]
        longest = max(map(len, rests))
        padded = [[*rest, *([0] * (longest - len(rest)))] for rest in rests]
        return self._append(slots, rows, padded, starts, [len(rest) - 1 for rest in rests], watch)

    def decode(self, slots: Slots, rows: Sequence[int], tokens: Sequence[int], watch: Watch | None = None) -> Tensor:
        """Append one token to each row; logits [B, vocab]."""
        lengths = [slots.lengths[row] for row in rows]
        logits = self._append(slots, rows, [[token] for token in tokens], lengths, [0] * len(rows), watch)
        for row in rows:
            slots.lengths[row] += 1
        return logits

    def _append(
        self,
        slots: Slots,
        rows: Sequence[int],
        tokens: Sequence[Sequence[int]],
        starts: Sequence[int],
        last: Sequence[int],
        watch: Watch | None,
    ) -> Tensor:
        """One pass over new tokens of equal number; `starts` is where each row stands, `last` its last real token."""
        width = len(tokens[0])
        first = torch.tensor(starts, device=self.device).unsqueeze(1)  # [B, 1]
        batch = Batch(
            rows=list(rows),
            row_index=torch.tensor(rows, device=self.device).unsqueeze(1),
            ids=torch.tensor(tokens, device=self.device),
            positions=first + torch.arange(width, device=self.device),
            reach=max(starts) + width,
            last=torch.tensor(last, device=self.device),
            groups=slots.groups(rows),
            watch=watch,
        )
        logits: Tensor = self._decoder(batch, slots)
        return logits
