"""Answers without a server: the same engine as the service's, in this process.

Owns the loading and what is told of it; `service.batch` does the work and `service.job` follows it. Main thread only.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from model.tiles import TiledImage
from service.batch import Batch
from service.engine import Engine
from service.images import ImageSource, tile
from service.job import Answerer, Job, carry_out
from service.settings import Settings
from service.worker import load_runner

if TYPE_CHECKING:
    from model.runner import ModelRunner

STALL_S = 60.0  # nobody watches an answer grow: filling every slot comes first


def answer(settings: Settings, job: Job) -> int:
    """Answer everything in this process.

    Returns:
        The exit code, as `service.job.carry_out`.

    Raises:
        ValueError, OSError: the model or the file of results cannot be used, or a question is too long.
    """
    if "," in settings.devices:
        raise ValueError(f"devices: {settings.devices}: this command computes on one device; choose it with --device")

    def start(console: Console) -> Answerer:
        runner = load_runner(settings, settings.devices)
        _introduce(console, settings, f"{runner.config.name} on {runner.device}, {runner.precision.reason}")
        return Answerer(runner.config.name, _batch(settings, job, runner).run)

    return carry_out(job, start)


def _batch(settings: Settings, job: Job, runner: ModelRunner) -> Batch:
    geometry = runner.config.vision.tile_px, runner.config.level
    return Batch(
        Engine(runner, stall_s=STALL_S),
        lambda path: _read(path, settings.max_pixels, *geometry),
        job.sampling,
        may_shorten=job.may_shorten,
        in_flight=2 * runner.slots,
        threads=settings.preprocess_threads,
    )


def _introduce(console: Console, settings: Settings, model: str) -> None:
    if console.is_terminal:
        console.print(f"pheye: {model}", markup=False)
    if settings.model.startswith("random:"):
        console.print("pheye: random weights: what they say means nothing; choose a model with --model", markup=False)


def _read(path: Path, max_pixels: int, tile_px: int, level: int) -> TiledImage:
    return tile(ImageSource(path.read_bytes()), max_pixels=max_pixels, tile_px=tile_px, level=level)
