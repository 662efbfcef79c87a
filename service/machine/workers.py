"""Choice of the number of workers where `PHEYE_DEVICES` is `auto`.

An operation of a small model is too short for two threads, so one worker leaves all cores but one idle. Workers share
nothing: two answered 1.6 to 1.7 times as many requests of 8 and 32 clients as one (docs/performance.md). Knows no
torch, whose import takes seconds that a start has not. Any thread.
"""

from __future__ import annotations

from pathlib import Path

from model.checkpoint.names import RANDOM
from model.checkpoint.sources import local_folder
from model.config import named_geometry
from model.machine.cores import WIDE, usable_cores
from model.machine.free_memory import available_mb
from model.runtime.memory_plan import CPU_FEATURE_CACHE_BYTES
from service.configuration.settings import Settings

AUTO = "auto"
MOST = 8  # more were never measured, and each reads the checkpoint and takes its memory
EACH_MB = 1000  # about what a worker with a small model takes once it has answered a while
_SMALL_BYTES = 200 * 10**6  # of the files of weights
_WEIGHTS = (".safetensors", ".pt", ".bin")
_GPUS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # what the drivers of NVIDIA, AMD and WSL make


def with_workers(settings: Settings) -> Settings:
    """Return the settings with `devices` spelled out where `auto` is more than one worker.

    A bound of the feature cache that is not set is divided among them, so that they do not take more memory than one.
    """
    count = worker_count(settings)
    if count == 1:
        return settings
    cache = settings.feature_cache_bytes
    each = CPU_FEATURE_CACHE_BYTES // count if cache is None else cache
    return settings.model_copy(update={"devices": ",".join(["cpu"] * count), "feature_cache_bytes": each})


def worker_count(settings: Settings) -> int:
    """Return how many workers `auto` is: one for each core for a small model without a GPU, as far as memory goes."""
    if settings.devices != AUTO or _any_gpu() or not _is_small(settings.model):
        return 1
    free_mb = available_mb()
    room = 2 if free_mb is None else int(free_mb / 2 / EACH_MB)
    return max(1, min(usable_cores() // max(1, settings.threads), room, MOST))


def _any_gpu() -> bool:
    return any(Path(device).exists() for device in _GPUS)


def _is_small(model: str) -> bool:
    if model.startswith(RANDOM):
        return named_geometry(model.removeprefix(RANDOM)).decoder.width < WIDE
    folder = local_folder(model)
    if folder is None:
        return False  # of the hub: all published checkpoints are large
    try:
        weights = [path.stat().st_size for path in folder.iterdir() if path.suffix in _WEIGHTS]
    except OSError:
        return False  # loading says what is wrong with it
    return bool(weights) and sum(weights) < _SMALL_BYTES
