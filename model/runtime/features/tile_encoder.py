"""Encoding of tiles that come in several arrays: on one thread, in halves on two, or as batches of fixed sizes.

Knows neither images nor caches. Called by the engine's thread only.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from model.network.pheye import Pheye
from model.pixels.tiles import Tiles
from model.runtime.vision_steps import VisionSteps


class TileEncoder:
    """Encoder of a model's tiles to features.

    Args:
        model: whose towers encode.
        batches: batches of fixed sizes that tiles are encoded as; None for batches of whatever there is.
        lone_threads: for `use_cores`; 2 to take half of the tiles each, where operations have one thread; 1 to stay
            at that.
    """

    def __init__(self, model: Pheye, batches: VisionSteps | None, lone_threads: int) -> None:
        self._model = model
        self._batches = batches
        self._may_halve = lone_threads > 1 and batches is None
        self._in_halves = False
        self._helper = ThreadPoolExecutor(1, "encoder")  # for the other half; its thread starts when needed

    def use_cores(self, *, alone: bool) -> None:
        """Use the core of another worker too while one row alone is worked on, or none but our own."""
        self._in_halves = alone and self._may_halve

    def encode(self, tiles: Sequence[Tiles], indices: Sequence[int]) -> Tensor:
        """Encode tiles, uint8 [n_i, S, S, 3] each, at these places of their images to features [n, tokens, D_vit]."""
        if self._batches is not None:
            return self._batches.encode([tile for array in tiles for tile in array], indices)
        if self._in_halves and len(indices) > 1:
            return self._halves(np.concatenate(tiles), indices)
        return self._model.encode_tiles(np.concatenate(tiles), indices)

    def _halves(self, tiles: Tiles, indices: Sequence[int]) -> Tensor:
        """Encode half of the tiles here and half in another thread.

        The two meet once. Two threads in each operation meet at its end, and where somebody else needs a core, one of
        them waits there for the other again and again.
        """

        @torch.inference_mode()
        def encode(part: slice) -> Tensor:
            return self._model.encode_tiles(tiles[part], indices[part])

        middle = len(indices) // 2
        later = self._helper.submit(encode, slice(middle, None))
        first = encode(slice(middle))
        return torch.cat([first, later.result()])

    def warm_up(self) -> list[Tensor]:
        """Run every kind of batch once, and return features of a black image, each [tokens, D_vit].

        Where nothing is recorded one tile will do, as both towers run the same code: a large model takes seconds for
        more. The features of all tiles are those of the one then.
        """
        config = self._model.config
        count, side = config.tiles if self._batches is not None else 1, config.vision.tile_px
        if self._batches is not None:
            self._batches.warm_up()
        features = list(self.encode([np.zeros((count, side, side, 3), dtype=np.uint8)], range(count)))
        return features + features[-1:] * (config.tiles - count)
