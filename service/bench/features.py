"""Time of an answer about an image that is new, in the feature folder, or in the feature cache, in the engine alone.

The cache holds a pair of images (two pairs in 16 bits), so asking about more in turn reads each from the folder, and
about a pair once more finds it in the cache. There is one slot, so that no image is still in one. One token is asked
for. Main thread only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from model.complexity import feature_bytes
from model.config import PheyeConfig
from model.pixels.tiles import TiledImage
from model.prompt import caption_instruction
from model.request import Sampling
from service.bench.engine import noise_image
from service.configuration.settings import Settings
from service.messages.from_worker import Broken, Refused
from service.messages.rows import Row
from service.messages.to_worker import Submit
from service.worker.engine import Engine
from service.worker.load import load_runner

if TYPE_CHECKING:
    from model.runtime.runner import ModelRunner

IMAGES = 8
WRITTEN_S = 60.0  # most that writing them may take


@dataclass(frozen=True, slots=True)
class FeatureTimes:
    """Seconds of an answer of one token, the medians over the images.

    Attributes:
        model, device, dtype: what answered.
        images: how many.
        image_bytes: of one image's features.
        load_s: of loading the model and warming it up.
        encoded_s: of an answer about a new image.
        folder_s: about one whose features are in the folder; the operating system has the file in memory.
        memory_s: about one whose features are in the cache.
        read_s: of reading features from the folder alone, for which all other rows wait.
    """

    model: str
    device: str
    dtype: str
    images: int
    image_bytes: int
    load_s: float
    encoded_s: float
    folder_s: float
    memory_s: float
    read_s: float


def feature_times(
    settings: Settings,
    config: PheyeConfig,
    *,
    images: int = IMAGES,
    clock: Callable[[], float] = time.perf_counter,
) -> FeatureTimes:
    """Load the model that the settings name with a folder of its own, ask about images three times, and read each.

    Args:
        settings: of an engine on one device.
        config: of their model.
        images: how many; an even number, at least six.
        clock: seconds.

    Raises:
        ValueError: the model cannot be used.
        TimeoutError: the folder was not written in time.
    """
    sizes = {"slots": 1, "feature_cache_bytes": 2 * feature_bytes(config, "float32"), "feature_folder_bytes": 1 << 40}
    asked = [noise_image(number, config) for number in range(images + 1)]
    with TemporaryDirectory() as folder:
        started = clock()
        runner = load_runner(settings.model_copy(update={**sizes, "feature_folder": Path(folder)}), settings.devices)
        load_s = clock() - started
        engine = Engine(runner, stall_s=settings.stall_s)
        _lap(engine, asked.pop(), clock)  # not counted
        encoded = _written_laps(engine, asked, Path(folder), clock)
        read, kept = _repeated_laps(engine, asked, clock)
        opened = [_open_lap(runner, image, clock) for image in asked]
    return FeatureTimes(
        model=runner.config.name,
        device=str(runner.device),
        dtype=runner.precision.name,
        images=images,
        image_bytes=feature_bytes(config, runner.precision.name),
        load_s=load_s,
        encoded_s=median(encoded),
        folder_s=median(read),
        memory_s=median(kept),
        read_s=median(opened),
    )


def _written_laps(
    engine: Engine, images: Sequence[TiledImage], folder: Path, clock: Callable[[], float]
) -> list[float]:
    """Ask about new images; after each, its features are in the folder, beside those of the one not counted."""
    laps_s = []
    for image in images:
        laps_s.append(_lap(engine, image, clock))
        _await_files(folder, len(laps_s) + 1)
    return laps_s


def _repeated_laps(
    engine: Engine, images: Sequence[TiledImage], clock: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """Ask about pairs of images twice: the first time features come from the folder, then from the cache."""
    read_s: list[float] = []
    kept_s: list[float] = []
    for pair in zip(images[::2], images[1::2], strict=True):
        read_s += [_lap(engine, image, clock) for image in pair]
        kept_s += [_lap(engine, image, clock) for image in pair]
    return read_s, kept_s


def _lap(engine: Engine, image: TiledImage, clock: Callable[[], float]) -> float:
    """Ask for one token about an image."""
    row = Row(image.image_key, caption_instruction(), Sampling(max_tokens=1))
    started = clock()
    engine.submit(Submit(image, (row,)))
    while engine.busy:
        for event in engine.step().events:
            if isinstance(event, Broken | Refused):
                raise ValueError(f"engine: {event.detail}")
    return clock() - started


def _open_lap(runner: ModelRunner, image: TiledImage, clock: Callable[[], float]) -> float:
    """Open an image, as the engine does when its row comes first."""
    started = clock()
    runner.open_image(image)
    took_s = clock() - started
    runner.close_image(image.image_key)
    return took_s


def _await_files(folder: Path, count: int) -> None:
    """Wait until so many images are written, which happens in another thread."""
    end_s = time.monotonic() + WRITTEN_S
    while len(list(folder.glob("*.features"))) < count:
        if time.monotonic() > end_s:
            raise TimeoutError(f"features were not written within {WRITTEN_S:g} s")
        time.sleep(0.01)
