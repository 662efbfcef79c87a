"""Names of everyday things for the eye of a small model that sees letters and shapes already.

From answers alone an eye learns names slowly: 2,600 steps made pheye-tiny name one thing in seven. Here each patch of a
thing must tell its name (`model/data/things/labels.py`), through a head that is thrown away afterwards, and a step
shows hundreds of things. On pictures of the world so far the features are held to what they were, so that the decoder
goes on reading them. `pheye train --data things:...` then teaches the decoder to say the names. One process; the
loader's workers paint the scenes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from model.checkpoint.checkpoint import open_checkpoint
from model.checkpoint.sources import CheckpointError
from model.config import PheyeConfig
from model.data.mixture import things_varied, truthful
from model.data.samples import Source
from model.data.things.labels import NOTHING, label_things
from model.data.things.source import ThingSource
from model.data.world.labels import UNKNOWN, Labels, windows
from model.pixels.tiles import Tiles, cut
from model.provenance import provenance
from model.training.artifacts.export import Trained, export
from model.training.learner import learns
from model.training.passes.vision import VisionPass, under, vision_layer
from model.training.run import StartingPoint, earlier_record
from model.training.stage0.loop import Batch, BatchPrefetcher, LearningSchedule, learn, saved_step

_ENCODER = "vision_encoder."
_SCENES, _HELD = 56, 14  # pictures of a step, with things and without
_LARGE_EVERY = 4  # one scene in so many has few and large things, the others are crowds
_NOTHING_COUNTS = 0.15  # weight of patches without a thing, which are most
_SMOOTHING = 0.05  # of the labels
_HOLD = 3.0  # weight of what features without things have moved, in shares of their variance
_LOG_EVERY = 10  # steps
_DTYPE = torch.bfloat16  # of activations


@dataclass(frozen=True, slots=True)
class LabelledThings(Dataset[Batch]):
    """Scenes with things as two tiles each: the global view, and a local one that shows a thing.

    Attributes:
        source: the scenes; most are crowds.
        classes: of each name, from 1.
        tile_px, patch_px, level: the geometry.
    """

    source: ThingSource
    classes: Mapping[str, int]
    tile_px: int
    patch_px: int
    level: int

    def __getitem__(self, index: int) -> Batch:
        """Return `tiles` uint8 [2, S, S, 3] and `names` [2, G, G], a class for each patch."""
        rng = Random(f"{self.source.seed} {index}")  # noqa: S311 - reproducible, not secret
        scene, image = self.source.scene(rng, crowded=index % _LARGE_EVERY > 0)
        grid = self.tile_px // self.patch_px
        names = [label_things(scene.things, self.classes, window, grid) for window in windows(self.level)]
        shown = [place for place in range(1, len(names)) if (names[place] > NOTHING).any()]
        return _two(cut(image, self.tile_px, self.level), shown, rng, names)


@dataclass(frozen=True, slots=True)
class HeldTiles(Dataset[Batch]):
    """Pictures of the world so far as two tiles each: the global view and a local one."""

    source: Source
    tile_px: int
    level: int

    def __getitem__(self, index: int) -> Batch:
        """Return `tiles` uint8 [2, S, S, 3]."""
        rng = Random(f"held {index}")  # noqa: S311 - reproducible, not secret
        return _two(cut(self.source[index].image.convert("RGB"), self.tile_px, self.level), (), rng)


def _two(tiles: Tiles, shown: Sequence[int], rng: Random, names: Sequence[Labels] = ()) -> Batch:
    """Take the global view, and a local tile: one of those that show a thing, if any does."""
    pick = [0, rng.choice(shown or range(1, len(tiles)))]
    taken = {"tiles": torch.from_numpy(tiles[pick])}
    return taken | ({"names": torch.from_numpy(np.stack([names[place] for place in pick]))} if names else {})


class ThingEye:
    """Encoder of a checkpoint with a new head that names each patch, and beside it the encoder as it was.

    Args:
        config: the geometry.
        tensors: the checkpoint's, by canonical name.
        classes: number of names.
        compiled: compile the layers.

    Attributes:
        parameters: what learns, float32, by canonical name, and the head.
    """

    def __init__(self, config: PheyeConfig, tensors: Mapping[str, Tensor], classes: int, compiled: bool) -> None:
        before = {name: tensor.float() for name, tensor in tensors.items() if name.startswith(_ENCODER)}
        now = {name: tensor.clone() for name, tensor in before.items()}
        learned = [name for name in now if learns(name, "everything") and "connector" not in name]
        chance = torch.Generator().manual_seed(0)
        self._head = torch.randn(1 + classes, config.vision.width, generator=chance) * 0.02
        self._bias = torch.zeros(1 + classes)
        self.parameters = {name: now[name] for name in learned} | {"head.weight": self._head, "head.bias": self._bias}
        for parameter in self.parameters.values():
            parameter.requires_grad_()
        layer = torch.compile(vision_layer) if compiled else vision_layer
        self._now, self._before = (VisionPass(under(each, _ENCODER), config, layer) for each in (now, before))

    def loss(self, labelled: Batch, held: Batch) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss of a step, and the share of patches with a thing whose name is right."""
        count = len(labelled["tiles"])
        features = self._now(torch.cat([labelled["tiles"], held["tiles"]]), _DTYPE).float()
        logits = self._named(features[:count])
        wanted = labelled["names"].flatten()
        weight = torch.ones(len(self._head))
        weight[NOTHING] = _NOTHING_COUNTS
        naming = F.cross_entropy(logits, wanted, weight, ignore_index=UNKNOWN, label_smoothing=_SMOOTHING)
        with torch.no_grad():
            before = self._before(held["tiles"], _DTYPE).float()
            right = (logits.argmax(-1) == wanted)[wanted > NOTHING].float().mean()
        moved = F.mse_loss(features[count:], before) / before.var()
        return naming + _HOLD * moved, {"named": float(right), "moved": float(moved.detach())}

    def _named(self, features: Tensor) -> Tensor:
        """Name each patch of two tiles [B, 2 * tokens, D] -> logits [B * 2 * patches, classes]."""
        patches = features.view(len(features), 2, -1, features.shape[-1])[:, :, 1:]
        return F.linear(patches, self._head, self._bias).flatten(0, 2)

    def tensors(self) -> dict[str, Tensor]:
        """Return the encoder's learned tensors, without the head."""
        return {name: tensor.detach() for name, tensor in self.parameters.items() if name.startswith(_ENCODER)}


def teach_things(
    source: str, pictures: Path, plan: LearningSchedule, folder: Path, *, workers: int = 1, compiled: bool = True
) -> Path:
    """Teach a checkpoint's eye things, and write `folder`/model; the work is kept beside it.

    A killed run goes on where it was.

    Args:
        source: a folder or `pheye-tiny`.
        pictures: as `pheye train --data things:FOLDER` takes them.
        plan: how long.
        folder: where everything goes.
        workers: processes that paint scenes.
        compiled: compile the layers.

    Raises:
        CheckpointError: `folder`/model exists already, or the checkpoint cannot be read.
        ValueError: pictures are missing.
    """
    model = folder / "model"
    if model.exists():
        raise CheckpointError(f"{model}: exists already; choose a new folder")
    checkpoint = open_checkpoint(source)
    config, things = checkpoint.config, things_varied(pictures)
    classes = {name: number for number, name in enumerate(things.things.names, start=1)}
    eye = ThingEye(config, checkpoint.tensors, len(classes), compiled)
    tile_px, first = config.vision.tile_px, saved_step(folder)
    scenes = LabelledThings(things, classes, tile_px, config.vision.patch_px, config.level)
    labelled = BatchPrefetcher(scenes, _SCENES, workers, first)
    held = BatchPrefetcher(HeldTiles(truthful(pictures), tile_px, config.level), _HELD, workers, first)

    def step(number: int) -> tuple[Tensor, dict[str, float]]:
        loss, numbers = eye.loss(next(labelled), next(held))
        return loss, numbers if number % _LOG_EVERY == _LOG_EVERY - 1 else {}

    learn(eye.parameters, step, plan, folder)
    record = {"stage": "things", "began": source, "schedule": asdict(plan), **provenance()}
    if (earlier := earlier_record(StartingPoint(source))) is not None:
        record["before"] = earlier
    tensors = {**checkpoint.tensors, **eye.tensors()}
    export(Trained(config, checkpoint.ranks, tensors, checkpoint.tokenizer, record, checkpoint.about), model)
    return model
