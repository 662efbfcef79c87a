"""The number of workers where the devices are left to the service."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.configuration.settings import Settings
from service.machine import compute, workers
from service.machine.workers import with_workers, worker_count


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four cores, plenty of memory and no GPU."""
    monkeypatch.setattr(workers, "usable_cores", lambda: 4)
    monkeypatch.setattr(workers, "available_mb", lambda: 64_000.0)
    monkeypatch.setattr(workers, "_GPUS", ())


@pytest.mark.parametrize(
    ("chosen", "count"),
    [
        ({}, 4),
        ({"threads": 2}, 2),
        ({"threads": 8}, 1),
        ({"devices": "cpu"}, 1),
        ({"model": "random:pheye-micro"}, 4),
        ({"model": "random:Pheye-x4-448"}, 1),
        ({"model": "miguelcarv/Pheye-x4-448"}, 1),
    ],
    ids=str,
)
def test_a_small_model_gets_a_worker_for_each_core_and_a_large_one_a_single_one(
    chosen: dict[str, object], count: int
) -> None:
    assert worker_count(Settings(**chosen)) == count  # type: ignore[arg-type]


@pytest.mark.parametrize(("free_mb", "count"), [(1500.0, 1), (5000.0, 2), (64_000.0, 4), (None, 2)])
def test_memory_bounds_the_workers(monkeypatch: pytest.MonkeyPatch, free_mb: float | None, count: int) -> None:
    monkeypatch.setattr(workers, "available_mb", lambda: free_mb)
    assert worker_count(Settings()) == count


def test_many_cores_get_eight_workers_and_a_single_core_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "usable_cores", lambda: 64)
    assert worker_count(Settings()) == 8
    monkeypatch.setattr(workers, "usable_cores", lambda: 1)
    assert worker_count(Settings()) == 1


def test_where_there_is_a_gpu_auto_stays_what_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    device = tmp_path / "nvidiactl"
    device.touch()
    monkeypatch.setattr(workers, "_GPUS", (str(device),))
    assert with_workers(Settings()) == Settings()


def test_a_folder_is_small_by_its_weights_and_one_without_any_is_left_to_loading(tmp_path: Path) -> None:
    settings = Settings(model=str(tmp_path))
    assert worker_count(settings) == 1
    with (tmp_path / "model.safetensors").open("wb") as weights:
        weights.truncate(19 * 10**6)
    assert worker_count(settings) == 4
    with (tmp_path / "more.pt").open("wb") as weights:
        weights.truncate(200 * 10**6)
    assert worker_count(settings) == 1
    (tmp_path / "more.pt").unlink()
    (tmp_path / "more.pt").symlink_to(tmp_path / "nowhere")
    assert worker_count(settings) == 1


def test_the_workers_share_the_default_feature_cache_and_keep_a_bound_that_was_set() -> None:
    assert with_workers(Settings()).devices == "cpu,cpu,cpu,cpu"
    assert with_workers(Settings()).feature_cache_bytes == (1 << 30) // 4
    assert with_workers(Settings(feature_cache_bytes=7)).feature_cache_bytes == 7


def test_doctor_tells_of_the_workers_that_would_start() -> None:
    told, memory, _ = compute.compute(Settings())
    assert "4 workers on cpu: float32" in told.lines[1]
    assert "threads: 1" in told.lines[1]
    assert "MB once ready" in memory.lines[0]
