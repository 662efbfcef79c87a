"""Rows of a runner that are prefilled, decoded and freed together, about made-up images.

The runner is used as the engine uses it: images are opened, encoded, read about, and decoded row by row of the batch.
Greedy unless told otherwise. One thread.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from model.pixels.tiles import ImageKey, TiledImage
from model.request import NewRow, Sampling, TileSpan
from model.runtime.runner import ModelRunner

PROMPT_TOKENS = 65  # as in the paper's section 2.2
COMMON_TOKENS = 45  # of these, those every prompt begins with
GREEDY = Sampling()
Tokens = list[int | None]


class Rows:
    """Rows of one runner.

    Args:
        runner: loaded and warmed up, with no row in it.
        prompt_tokens: of each prompt.
    """

    def __init__(self, runner: ModelRunner, prompt_tokens: int = PROMPT_TOKENS) -> None:
        self.runner = runner
        self._prompt_tokens = prompt_tokens
        self._made = 0
        self._held: list[int] = []

    def image(self, number: int | None = None) -> TiledImage:
        """Return noise as an image; without a number, one that this runner has not seen."""
        if number is None:
            self._made += 1
            number = -self._made
        config = self.runner.config
        side = config.vision.tile_px
        noise = np.random.default_rng([abs(number), int(number < 0)]).integers(
            256, size=(config.tiles, side, side, 3), dtype=np.uint8
        )
        return TiledImage(ImageKey(f"noise {number}"), side, side, noise)

    def prompt(self, number: int) -> tuple[int, ...]:
        """Return a prompt of its own that begins as all do."""
        vocab = self.runner.config.decoder.vocab_size
        ids = np.random.default_rng(number).integers(vocab, size=self._prompt_tokens).tolist()
        common = self.runner.prompt("")[:COMMON_TOKENS]
        return (*common, *ids[len(common) :]) if len(common) < self._prompt_tokens else tuple(ids)

    def distinct(self, images: Sequence[TiledImage]) -> list[TiledImage]:
        """Return each image once."""
        return list({image.image_key: image for image in images}.values())

    def open(self, images: Sequence[TiledImage]) -> list[TileSpan]:
        """Open images, and return the tiles that must be encoded."""
        tiles = self.runner.config.tiles
        known = [self.runner.open_image(image) for image in images]
        return [
            TileSpan(image.image_key, here, tiles) for image, here in zip(images, known, strict=True) if here < tiles
        ]

    def encode(self, images: Sequence[TiledImage]) -> None:
        """Encode images that are not known into the feature cache, and keep them open."""
        if spans := self.open(images):
            self.runner.encode(spans)

    def close(self, images: Sequence[TiledImage]) -> None:
        """Close images, one user each."""
        for image in images:
            self.runner.close_image(image.image_key)

    def features(self, image: TiledImage) -> Tensor:
        """Return features of an open image [V, D_vit]."""
        return self.runner._model.placed(self.runner._images[image.image_key].complete)

    def new(self, slot: int, image: TiledImage, prompt: Sequence[int], sampling: Sampling = GREEDY) -> NewRow:
        """Return a row to be prefilled."""
        return NewRow(slot, image.image_key, tuple(prompt), (), sampling)

    def fill(self, images: Sequence[TiledImage], prompts: Sequence[Sequence[int]]) -> Tokens:
        """Prefill prompts, each about its image, in the first slots; returns each row's first token."""
        self.encode(images)
        first = self.read(images, prompts)
        self.close(images)
        return first

    def read(self, images: Sequence[TiledImage], prompts: Sequence[Sequence[int]]) -> Tokens:
        """Prefill as `fill` does, for images that are open and encoded."""
        pairs = enumerate(zip(images, prompts, strict=True))
        first = self.runner.prefill([self.new(slot, image, prompt) for slot, (image, prompt) in pairs])
        self._held = list(range(len(prompts)))
        return first

    def step(self) -> Tokens:
        """Decode one more token of every row."""
        return self.runner.decode(self._held)

    def repeat(self, count: int) -> Tokens:
        """Decode one more token of the rows in the first slots, and then forget it: every call does the same work.

        Of a runner on a CPU alone: a GPU keeps the lengths of rows, too.
        """
        tokens = self.runner.decode(range(count))
        self.runner.rewind(range(count))
        return tokens

    def free(self) -> None:
        """Free the slots of all rows."""
        for slot in self._held:
            self.runner.release(slot)
        self._held = []

    def answers(
        self, images: Sequence[TiledImage], prompts: Sequence[Sequence[int]], tokens: int
    ) -> list[list[int | None]]:
        """Decode so many tokens of each row, all rows together; None where the logits were not finite."""
        steps = [self.fill(images, prompts)]
        while len(steps) < tokens:
            steps.append(self.step())
        self.free()
        return [list(row) for row in zip(*steps, strict=True)]
