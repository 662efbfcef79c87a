"""Vision encoder of stage 0: a small CLIP vision transformer learns to tell letters, shapes and colours.

Published Pheye starts from a CLIP that has seen the web; the small one starts here. It learns from dense labels
(`world/labels.py`): each patch says what it shows. The heads are thrown away afterwards, the transformer is frozen.
One process; the loader's workers paint the scenes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from model.config import PheyeConfig, VisionGeometry
from model.data.world.labels import (
    LETTER_CLASSES,
    ORDER_CLASSES,
    THING_CLASSES,
    UNKNOWN,
    TileLabels,
    label,
    windows,
)
from model.data.world.paint import paint
from model.data.world.scene import COLOURS, draw_crowd, draw_scene
from model.layout import VISION, tensor_shapes
from model.pixels.tiles import cut
from model.training.passes.vision import layer_norm, linear, patches, under, vision_layer
from model.training.stage0.loop import Batch, BatchPrefetcher, LearningSchedule, fresh, learn, saved_step

_SIZES = {  # head -> outputs for one patch
    "letters": 2 * LETTER_CLASSES,
    "order": 2 * ORDER_CLASSES,
    "things": THING_CLASSES,
    "colours": len(COLOURS),
    "extents": 4,
}


_WAVES = 0.4  # height of the positions' waves
_CROWDS = 0.7  # share of scenes full of signs: letters are what takes longest to learn
_LETTERS_FROM = 8_000  # scenes before letters begin to change from plain ones to all kinds
_LETTERS_OVER = 20_000  # scenes over which they do


@dataclass(frozen=True, slots=True)
class LabelledTiles(Dataset[Batch]):
    """Scenes as tiles with their labels; item `index` is always the same.

    Attributes:
        seed: names the stream of scenes.
        tile_px, patch_px, level: the geometry.
    """

    seed: str
    tile_px: int
    patch_px: int
    level: int

    def __getitem__(self, index: int) -> Batch:
        """Return `tiles` uint8 [N, S, S, 3] and the fields of `TileLabels` stacked over the N tiles."""
        rng = Random(f"{self.seed} {index}")  # noqa: S311 - reproducible, not secret
        easy = min(1.0, max(0.0, 1 - (index - _LETTERS_FROM) / _LETTERS_OVER))
        scene = draw_crowd(rng, easy) if rng.random() < _CROWDS else draw_scene(rng, easy)
        picture = paint(scene)
        grid = self.tile_px // self.patch_px
        seen = [label(scene, picture, window, grid, self.tile_px) for window in windows(self.level)]
        stacked = {
            field: torch.from_numpy(np.stack([getattr(labels, field) for labels in seen]))
            for field in TileLabels.__dataclass_fields__
        }
        return stacked | {"tiles": torch.from_numpy(cut(picture.image, self.tile_px, self.level))}


class PatchLabeller:
    """Vision transformer, under its canonical names, with a linear head that labels each patch.

    Attributes:
        parameters: all of it, float32, by name.
    """

    def __init__(self, config: PheyeConfig, seed: int = 0, compiled: bool = False) -> None:
        generator = torch.Generator().manual_seed(seed)
        shapes = {name: shape for name, shape in tensor_shapes(config, {}).items() if name.startswith(VISION)}
        width = config.vision.width
        shapes |= {"head.norm.weight": (width,), "head.norm.bias": (width,)}
        shapes |= {"head.out.weight": (sum(_SIZES.values()), width), "head.out.bias": (sum(_SIZES.values()),)}
        self.parameters = {name: fresh(name, shape, generator) for name, shape in shapes.items()}
        _look_around(self.parameters, config.vision)
        self._v = config.vision
        self._layer = torch.compile(vision_layer, dynamic=False) if compiled else vision_layer

    def __call__(self, tiles: Tensor, dtype: torch.dtype = torch.bfloat16) -> dict[str, Tensor]:
        """Compute each head's outputs from tiles, uint8 [n, S, S, 3] -> float32 [n, patches, size]."""
        x = self._embed(tiles, under(self.parameters, VISION + "embeddings."), dtype)
        for index in range(self._v.layers):
            weights = under(self.parameters, f"{VISION}encoder.layers.{index}.")
            x = self._layer(x, weights, None, self._v.heads, self._v.activation, self._v.eps)
        x = linear(layer_norm(x[:, 1:], self.parameters, "head.norm"), self.parameters, "head.out").float()
        return dict(zip(_SIZES, torch.split(x, list(_SIZES.values()), dim=-1), strict=True))

    def _embed(self, tiles: Tensor, weights: dict[str, Tensor], dtype: torch.dtype) -> Tensor:
        kernel = weights["patch_embedding.base_layer.weight"].flatten(1).to(dtype)
        x = F.linear(patches(tiles.unsqueeze(0), self._v.patch_px, dtype)[0], kernel)
        cls = weights["class_embedding"].to(dtype).expand(len(x), 1, -1)
        x = torch.cat([cls, x], dim=1) + weights["position_embedding.weight"].to(dtype)
        return layer_norm(x, self.parameters, VISION + "pre_layrnorm", self._v.eps)

    def weights(self) -> dict[str, Tensor]:
        """Return the weights of the transformer alone, without the heads."""
        return {name: tensor.detach() for name, tensor in self.parameters.items() if name.startswith(VISION)}


def _look_around(parameters: dict[str, Tensor], vision: VisionGeometry) -> None:
    """Start with patches that attend to their neighbours, as a letter is read from several.

    Positions begin as waves along both axes, as strong as what a patch shows, and keys begin as queries, so that near
    positions score high (arXiv 2305.09828 starts transformers likewise). From the usual start, small noise, a run of
    2,000 steps had read one letter in ten.
    """
    grid = vision.tile_px // vision.patch_px
    down, across = (axis.flatten().float() for axis in torch.meshgrid(*[torch.arange(grid)] * 2, indexing="ij"))
    rates = torch.pi * 2.0 ** -torch.linspace(0, 4, vision.width // 4)  # half a wave in one patch to one in 32
    waves = [wave(axis[:, None] * rates) for axis in (down, across) for wave in (torch.sin, torch.cos)]
    with torch.no_grad():
        parameters[VISION + "embeddings.position_embedding.weight"][1:] = _WAVES * torch.cat(waves, dim=1)
        for name, tensor in parameters.items():
            if ".k_proj." in name:
                tensor.copy_(parameters[name.replace(".k_proj.", ".q_proj.")])


def labelling_loss(outputs: dict[str, Tensor], batch: Batch) -> Tensor:
    """Sum up the heads' mean losses over the patches whose label is known."""
    total = torch.zeros(())
    for field in ("letters", "order", "things", "colours"):
        logits, wanted = _pair(outputs[field], batch[field])
        weight = _rare(wanted) if field == "letters" else None
        losses = F.cross_entropy(logits, wanted, ignore_index=UNKNOWN, reduction="none")
        known = (wanted != UNKNOWN).float() if weight is None else weight
        total = total + (losses * known).sum() / known.sum().clamp(min=1)
    wanted = batch["extents"].flatten(0, 1).flatten(2).transpose(1, 2)  # [n, patches, 4]
    known = ~wanted.isnan()
    return total + (outputs["extents"][known] - wanted[known]).abs().sum() / max(1, int(known.sum()))


def accuracies(outputs: dict[str, Tensor], batch: Batch) -> tuple[float, float, float]:
    """Compute the share of right labels among known letters, things that are there, and their colours."""
    shares = []
    for field in ("letters", "things", "colours"):
        logits, wanted = _pair(outputs[field], batch[field])
        known = wanted > 0
        shares.append(float((logits.argmax(-1) == wanted)[known].float().mean()))
    return shares[0], shares[1], shares[2]


def _pair(outputs: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Pair logits [m, classes] with labels [m], whether a patch has one point or two."""
    if wanted.ndim == 4:  # [B, N, G, G]
        return outputs.flatten(0, 1), wanted.flatten()
    points = wanted.shape[2]  # [B, N, 2, G, G]
    logits = outputs.view(*outputs.shape[:2], points, -1).transpose(1, 2)  # [n, 2, patches, classes]
    return logits.flatten(0, 2), wanted.flatten()


def _rare(wanted: Tensor) -> Tensor:
    """Weight letters and their absence to count the same, though patches without letters are many more."""
    known, letter = wanted != UNKNOWN, wanted > 0
    share = letter.sum() / known.sum().clamp(min=1)
    return known.float() * torch.where(letter, 1.0, (share / (1 - share)).clamp(max=1.0))


def train_eye(
    config: PheyeConfig,
    plan: LearningSchedule,
    folder: Path,
    *,
    scenes: int = 16,
    workers: int = 1,
    compiled: bool = True,
) -> dict[str, Tensor]:
    """Train a new vision transformer on `scenes` new scenes a step, and return its weights.

    A killed run goes on from `folder`. The numbers in the log are of scenes not yet learned from: none comes twice.
    """
    eye = PatchLabeller(config, compiled=compiled)
    data = LabelledTiles("stage 0", config.vision.tile_px, config.vision.patch_px, config.level)
    batches = BatchPrefetcher(data, scenes, workers, first=saved_step(folder))

    def step(number: int) -> tuple[Tensor, dict[str, float]]:
        batch = next(batches)
        outputs = eye(batch["tiles"].flatten(0, 1))
        numbers = {}
        if number % 50 == 49:
            numbers = dict(zip(("letters", "things", "colours"), accuracies(outputs, batch), strict=True))
        return labelling_loss(outputs, batch), numbers

    learn(eye.parameters, step, plan, folder)
    return eye.weights()
