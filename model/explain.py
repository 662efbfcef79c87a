"""Explanations of an answer: cross-attention as shares of global and local tiles, and as maps over the image.

Sources: arXiv 2501.02584, appendix C (shares, averaged over heads and generated tokens). Attention shows where the
model read; it does not prove what an answer rests on. Pure; knows numpy and Pillow, not torch.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.config import PheyeConfig

Map = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LayerShare:
    """Shares of one decoder layer's cross-attention: to the global view and to the local tiles; they add up to 1."""

    layer: int
    global_share: float
    local_share: float


@dataclass(frozen=True, eq=False, slots=True)
class HeatMap:
    """Attention over the image, [grid, grid], rows from the top, adding up to 1."""

    values: Map

    def png(self) -> bytes:
        """Encode as a greyscale picture of one pixel for each cell, the maximum white."""
        scaled = np.round(255 * self.values / max(float(self.values.max()), 1e-12)).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(scaled).save(file, "PNG")
        return file.getvalue()


@dataclass(frozen=True, eq=False, slots=True)
class WordMap:
    """Word of the answer, `start` up to `end` in characters, and where the model looked while it wrote it."""

    text: str
    start: int
    end: int
    heat_map: HeatMap


@dataclass(frozen=True, eq=False, slots=True)
class Explanation:
    """Explanation of an answer: attention by layer, for the whole answer, and word by word."""

    layers: tuple[LayerShare, ...]
    heat_map: HeatMap
    words: tuple[WordMap, ...]


def explain(attention: Map, pieces: Sequence[str], config: PheyeConfig) -> Explanation:
    """Explain an answer from its cross-attention.

    Args:
        attention: weights over the image tokens, mean over heads [tokens, cross layers, V].
        pieces: the text that each token completed; together they are the answer, which is stripped on the left.
        config: the model's geometry.
    """
    global_shares = attention[..., : config.vision.tokens_per_tile].sum(-1).mean(0)  # [cross layers]
    layers = tuple(
        LayerShare(layer, float(share), 1.0 - float(share))
        for layer, share in zip(config.cross_layers, global_shares, strict=True)
    )
    maps = image_maps(attention.mean(1), config)  # [tokens, grid, grid]
    words = tuple(
        WordMap(text, start, end, _normalised(maps[tokens].mean(0))) for text, start, end, tokens in _words(pieces)
    )
    return Explanation(layers, _normalised(maps.mean(0)), words)


def image_maps(weights: Map, config: PheyeConfig) -> Map:
    """Lay weights over image tokens [n, V] onto the image [n, grid, grid], as fine as the local tiles' patches.

    A patch of the global view covers level x level cells, which share its weight. CLS tokens stand for no place and
    are left out.
    """
    side, level = config.vision.tile_px // config.vision.patch_px, config.level
    tiles = weights.reshape(-1, config.tiles, config.vision.tokens_per_tile)[..., 1:]
    patches = tiles.reshape(-1, config.tiles, side, side)  # [n, N, y, x]
    local = patches[:, 1:].reshape(-1, level, level, side, side)  # [n, tile x, tile y, y, x]: column-major
    fine = local.transpose(0, 2, 3, 1, 4).reshape(-1, level * side, level * side)
    coarse = patches[:, 0].repeat(level, axis=1).repeat(level, axis=2) / level**2
    return (fine + coarse).astype(np.float32)


def _normalised(weights: Map) -> HeatMap:
    return HeatMap(weights / max(float(weights.sum()), 1e-12))


def _words(pieces: Sequence[str]) -> Iterator[tuple[str, int, int, list[int]]]:
    """Return each word with its place in the answer and the tokens that wrote it."""
    raw = "".join(pieces)
    lead = len(raw) - len(raw.lstrip())
    owners: list[list[int]] = []  # the tokens of each character
    silent: list[int] = []  # tokens that completed no character yet
    for token, piece in enumerate(pieces):
        silent.append(token)
        if piece:
            owners += [silent] * len(piece)
            silent = []
    for word in re.finditer(r"\S+", raw):
        tokens = sorted({token for character in range(*word.span()) for token in owners[character]})
        yield word[0], word.start() - lead, word.end() - lead, tokens
