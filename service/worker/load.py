"""Loading of the model that the settings name, warm-up included.

Knows nothing of processes or pipes. Called once in the worker process, and by the commands that have an engine in their
own process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.worker.scheduling.budget import MAX_TILES
from service.worker.scheduling.prefetch_queue import MAX_PREFETCH

if TYPE_CHECKING:
    from model.runtime.runner import ModelRunner
    from service.configuration.settings import Settings
    from service.worker.settings import WorkerSettings


def load_runner(settings: Settings | WorkerSettings, device: str) -> ModelRunner:
    """Load and warm up the model that the settings name.

    Raises:
        ValueError: it cannot be served; the message says what to change.
    """
    from model.runtime.load import KeptFolders
    from model.runtime.load import load_runner as load
    from model.runtime.memory_plan import MemoryDemand

    devices = settings.devices.split(",")
    return load(
        settings.model,
        revision=settings.revision,
        name=settings.name,
        device=device,
        dtype=settings.dtype,
        threads=settings.threads,
        workers=len(devices),
        demand=MemoryDemand(
            settings.context_tokens,
            slots=settings.slots,
            feature_cache_bytes=settings.feature_cache_bytes,
            tiles_at_once=MAX_TILES,
            images_ahead=MAX_PREFETCH,
        ),
        folders=KeptFolders(settings.feature_folder, settings.feature_folder_bytes, settings.prepared_weights_folder),
        gpu_memory_share=settings.gpu_memory_share / max(devices.count(device), 1),
    )
