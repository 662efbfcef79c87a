"""The golden cases: what an original model computed, to compare with; and the models and images that tests share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from model.checkpoint.checkpoint import Checkpoint
from model.pixels.tiles import TiledImage, prepare
from model.runtime.hardware import Precision
from model.runtime.runner import ModelRunner

if TYPE_CHECKING:
    from model.reference.naive import NaivePheye

OWN_GOLDEN = Path(__file__).parents[1] / "golden"
MORE_GOLDEN = "TEST_GOLDEN"  # the variable that names a folder of more variants; not PHEYE_*, which are settings


def golden_folders() -> list[Path]:
    """The variant in this repository, and those in the folder that TEST_GOLDEN names, if it names one."""
    own = sorted(OWN_GOLDEN.iterdir())
    more = sorted(Path(os.environ[MORE_GOLDEN]).iterdir()) if os.environ.get(MORE_GOLDEN) else []
    return own + [folder for folder in more if folder.name not in {known.name for known in own}]


@dataclass(frozen=True)
class Golden:
    """One variant: an original model's checkpoint, and what the original computed with it."""

    folder: Path
    checkpoint: Checkpoint
    data: dict[str, Any]
    tensors: dict[str, torch.Tensor]

    @property
    def cases(self) -> list[dict[str, Any]]:
        return self.data["cases"]

    def image(self, name: str) -> TiledImage:
        config = self.checkpoint.config
        with Image.open(self.folder / name) as image:
            return prepare(image, config.vision.tile_px, config.level)

    def runner(self, **kwargs: Any) -> ModelRunner:
        return fp32_runner(self.checkpoint, **kwargs)

    def naive(self) -> NaivePheye:
        return naive_twin(self.checkpoint)


def fp32_runner(checkpoint: Checkpoint, **kwargs: Any) -> ModelRunner:
    kwargs = {"slots": 8, "context_tokens": 512, "feature_cache_bytes": 1 << 24} | kwargs
    return ModelRunner(checkpoint, torch.device("cpu"), Precision(torch.float32, "tested"), **kwargs)


def naive_twin(checkpoint: Checkpoint) -> NaivePheye:
    from model.reference.naive import NaivePheye  # peft and transformers take seconds, and few tests need them

    naive = NaivePheye(checkpoint.config, checkpoint.ranks).eval()
    naive.load_state_dict(dict(checkpoint.tensors), strict=True)
    return naive


def noise_image(checkpoint: Checkpoint, seed: int = 0, size: tuple[int, int] = (90, 60)) -> TiledImage:
    noise = torch.randint(0, 256, (size[1], size[0], 3), generator=torch.Generator().manual_seed(seed))
    image = Image.fromarray(noise.to(torch.uint8).numpy())
    return prepare(image, checkpoint.config.vision.tile_px, checkpoint.config.level)
