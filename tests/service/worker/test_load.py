"""From settings to a loader's arguments: what workers of one GPU divide, and what an engine needs room for."""

from __future__ import annotations

from typing import Any

import pytest

from model.runtime import load as runtime
from model.runtime.memory_plan import MemoryDemand
from service.configuration.settings import Settings
from service.worker.load import load_runner
from service.worker.scheduling.budget import MAX_TILES
from service.worker.scheduling.prefetch_queue import MAX_PREFETCH


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Collect what the model's loader was asked for."""
    words: dict[str, Any] = {}
    monkeypatch.setattr(runtime, "load_runner", lambda source, **given: words.update(given, source=source))
    return words


@pytest.mark.parametrize(
    ("devices", "device", "share"),
    [("cuda:0", "cuda:0", 0.8), ("cuda:0,cuda:1,cuda:0", "cuda:0", 0.4), ("cuda:0,cuda:1", "cuda:1", 0.8)],
    ids=["alone", "two on one", "one on each"],
)
def test_workers_on_one_gpu_divide_its_memory(asked: dict[str, Any], devices: str, device: str, share: float) -> None:
    load_runner(Settings(devices=devices, gpu_memory_share=0.8), device)
    assert asked["gpu_memory_share"] == share
    assert asked["workers"] == len(devices.split(","))


def test_the_plan_has_room_for_the_largest_vision_batch_and_for_images_encoded_ahead(asked: dict[str, Any]) -> None:
    load_runner(Settings(devices="cpu", slots=3, context_tokens=512, feature_cache_bytes=9), "cpu")
    assert asked["demand"] == MemoryDemand(512, 3, 9, tiles_at_once=MAX_TILES, images_ahead=MAX_PREFETCH)
