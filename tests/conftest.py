"""Golden data, loaded models and small images, shared by all tests."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from model.checkpoint.checkpoint import Checkpoint, open_checkpoint
from model.reference.naive import NaivePheye
from model.runtime.hardware import Precision
from model.runtime.runner import ModelRunner
from model.tiles import TiledImage, prepare

OWN_GOLDEN = Path(__file__).parent / "golden"
MORE_GOLDEN = Path(__file__).parents[2] / "shared" / "reference" / "golden"  # both variants, where they are at hand


def golden_folders() -> list[Path]:
    own = sorted(OWN_GOLDEN.iterdir())
    more = sorted(MORE_GOLDEN.iterdir()) if MORE_GOLDEN.is_dir() else []
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
    naive = NaivePheye(checkpoint.config, checkpoint.ranks).eval()
    naive.load_state_dict(dict(checkpoint.tensors), strict=True)
    return naive


def noise_image(checkpoint: Checkpoint, seed: int = 0, size: tuple[int, int] = (90, 60)) -> TiledImage:
    noise = torch.randint(0, 256, (size[1], size[0], 3), generator=torch.Generator().manual_seed(seed))
    image = Image.fromarray(noise.to(torch.uint8).numpy())
    return prepare(image, checkpoint.config.vision.tile_px, checkpoint.config.level)


@pytest.fixture(scope="session", params=golden_folders(), ids=lambda folder: folder.name)
def golden(request: pytest.FixtureRequest) -> Golden:
    folder: Path = request.param
    data = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    return Golden(folder, open_checkpoint(str(folder)), data, load_file(folder / "golden.safetensors"))


@pytest.fixture(scope="session")
def tiny() -> Checkpoint:
    return open_checkpoint("random:pheye-micro")
