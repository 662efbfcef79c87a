"""The settings of a worker process: those of all settings that it reads, as plain data.

They cross the pipe without the library that checks settings, whose import a worker would otherwise wait for, and
without any key. Any thread or process.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.configuration.settings import Settings
    from service.logs import LogFormat


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Settings of a worker, each as `service.configuration.fields` describes it."""

    model: str
    revision: str | None
    name: str | None
    devices: str
    dtype: str
    threads: int
    slots: int
    context_tokens: int
    feature_cache_bytes: int | None
    feature_folder: Path | None
    feature_folder_bytes: int
    prepared_weights_folder: Path | None
    gpu_memory_share: float
    compiled_code: str
    stall_s: float
    log_level: str
    log_format: LogFormat


def worker_settings(settings: Settings) -> WorkerSettings:
    """Take from all settings those that a worker reads."""
    return WorkerSettings(**{field.name: getattr(settings, field.name) for field in fields(WorkerSettings)})
