"""Two sides of the benchmark: the naive twin row after row, the fast path with all rows in one batch.

Greedy tokens; no tokenizer and no end of answer, so that both sides do the same number of steps. One thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from model.bench.timing import Lap
from model.network.pheye import Pheye
from model.pixels.tiles import ImageKey, Tiles
from model.reference.naive import NaivePheye

Tokens = list[int]


class NaiveRow:
    """Prompt about an image and its answer, as the naive twin keeps it; features [V, D_vit]."""

    def __init__(self, twin: NaivePheye, features: Tensor) -> None:
        self._twin = twin
        self._features = features.unsqueeze(0)
        self._cache = DynamicCache(config=twin.lang_encoder.config)

    def read(self, ids: Sequence[int]) -> int:
        """Append tokens, and return the one that follows them."""
        new = torch.tensor([list(ids)], device=self._features.device)
        logits = self._twin(new, self._features, self._cache)
        return int(logits[0, -1].argmax())

    def repeat(self, token: int) -> int:
        """Read one token and then forget it: every call does the same work."""
        following = self.read([token])
        self._cache.crop(-1)
        return following

    def answer(self, prompt: Sequence[int], tokens: int, lap: Lap) -> Tokens:
        """Decode greedily; the stopwatch marks a lap at the first token."""
        answer = [self.read(prompt)]
        lap()
        while len(answer) < tokens:
            answer.append(self.read(answer[-1:]))
        return answer


def encode_naively(twin: NaivePheye, tiles: Tiles) -> Tensor:
    """Encode one image, uint8 [N, S, S, 3] -> features [V, D_vit]."""
    pixels = twin.vision_encoder.pixels(torch.from_numpy(tiles))
    features: Tensor = twin.vision_encoder(pixels.unsqueeze(0))[0]
    return features


def encode_fast(model: Pheye, images: Sequence[Tiles]) -> list[Tensor]:
    """Encode images, each uint8 [N, S, S, 3], in one call -> features of each [N, tokens per tile, D_vit]."""
    indices = list(range(model.config.tiles)) * len(images)
    features = model.encode_tiles(np.concatenate(images), indices)  # [images * N, tokens per tile, D_vit]
    return list(features.view(len(images), -1, *features.shape[1:]))


class FastRows:
    """Rows of the fast path in slots of their own, which are prefilled, decoded and freed together.

    Args:
        model: the fast path.
        count: how many rows.
        context_tokens: most tokens of a row.
        prefix: tokens that every prompt begins with.
        image_dtype: what images are kept in between encoding and admission.
    """

    def __init__(
        self, model: Pheye, count: int, context_tokens: int, prefix: Sequence[int], image_dtype: torch.dtype
    ) -> None:
        self._model = model
        self._slots = model.new_slots(count, context_tokens, prefix)
        self._rows = list(range(count))
        self._image_dtype = image_dtype
        self._seen = 0

    def unseen(self, images: Sequence[Tensor]) -> dict[ImageKey, Tensor]:
        """Return images, each features [N, tokens per tile, D_vit], under keys that no image has had here."""
        self._seen += len(images)
        return {ImageKey(f"image {self._seen + place}"): features for place, features in enumerate(images)}

    def read(self, images: Mapping[ImageKey, Tensor], prompts: Sequence[Sequence[int]]) -> Tokens:
        """Prefill prompts about images one after another, as the service does; returns each row's first token.

        Of the rows about an image that is not in a slot one reads all, and then the others what they do not share.
        """
        image_keys = [image_key for _, image_key in zip(prompts, cycle(images), strict=False)]
        leaders: dict[ImageKey, int] = {}
        for row, image_key in enumerate(image_keys):
            if not self._slots.has_image(image_key):
                tiles = list(images[image_key].to(self._image_dtype))
                self._model.admit_image(self._slots, image_key, tiles)
                leaders[image_key] = row
            self._slots.occupy(row, image_key, len(prompts[row]))
        followers = [row for row in self._rows if row not in leaders.values()]
        first = self._prefilled(list(leaders.values()), prompts) | self._prefilled(followers, prompts)
        return [first[row] for row in self._rows]

    def _prefilled(self, rows: Sequence[int], prompts: Sequence[Sequence[int]]) -> dict[int, int]:
        """Return the first token of each of these rows, whose beginnings of prompts are kept for those that follow."""
        if not rows:
            return {}
        own = [prompts[row] for row in rows]
        starts = [self._slots.begin(row, prompt) for row, prompt in zip(rows, own, strict=True)]
        first = _greedy(self._model.prefill(self._slots, rows, own, starts))
        for row, prompt in zip(rows, own, strict=True):
            self._slots.keep_beginning(row, prompt)
        return dict(zip(rows, first, strict=True))

    def step(self, tokens: Sequence[int]) -> Tokens:
        """Append a token to each row, and return the one that follows it."""
        return _greedy(self._model.decode(self._slots, self._rows, tokens))

    def repeat(self, tokens: Sequence[int]) -> Tokens:
        """Decode one step as `step` does, and then forget the tokens: every call does the same work."""
        held = list(self._slots.lengths)
        following = self.step(tokens)
        self._slots.lengths[:] = held
        return following

    def free(self) -> None:
        """Free the slots of all rows."""
        for row in self._rows:
            self._slots.release(row)

    def answer(
        self, images: Mapping[ImageKey, Tensor], prompts: Sequence[Sequence[int]], tokens: int, lap: Lap
    ) -> list[Tokens]:
        """Decode so many tokens greedily, all rows at once, and free the rows; marks a lap at the first tokens."""
        steps = [self.read(images, prompts)]
        lap()
        while len(steps) < tokens:
            steps.append(self.step(steps[-1]))
        self.free()
        return [list(row) for row in zip(*steps, strict=True)]


def _greedy(logits: Tensor) -> Tokens:
    """Return the likeliest token of each row of logits [B, vocab]."""
    tokens: Tokens = logits.argmax(dim=-1).tolist()
    return tokens
