"""GPU metrics: what NVML tells becomes gauges, and what it does not tell is absent."""

from __future__ import annotations

import asyncio
import logging
import sys
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from service.dispatch.workers import gpu_watch
from service.dispatch.workers.gpu_watch import GpuReading, Nvml, record, watch_gpus
from service.metrics.service_metrics import Metrics
from tests.service.metrics.test_metrics import series
from tests.support.queueing import until

UUID = "GPU-8a6ad0d2-9d4c-4d62-9d5c-5c1f0c1e8a11"
TOLD = {
    'pheye_gpu_memory_used_bytes{device="cuda:0"}': 3.0 * 2**30,
    'pheye_gpu_memory_bytes{device="cuda:0"}': 80.0 * 2**30,
    'pheye_gpu_utilization_ratio{device="cuda:0"}': 0.42,
    'pheye_gpu_temperature_celsius{device="cuda:0"}': 61.0,
}


class FakeNvml(ModuleType):
    """The package's module with one GPU; `refused` names the functions that the driver refuses."""

    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        """As the package raises it."""

    def __init__(self, *refused: str) -> None:
        super().__init__("pynvml")
        self.refused = set(refused)

    def _answer(self, name: str, value: Any) -> Any:
        if name in self.refused:
            raise self.NVMLError("Not Supported")
        return value

    def nvmlInit(self) -> None:
        self._answer("nvmlInit", None)

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid != UUID:
            raise self.NVMLError("Not Found")
        return self._answer("nvmlDeviceGetHandleByUUID", "handle")

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> Any:
        return self._answer("nvmlDeviceGetMemoryInfo", SimpleNamespace(used=3 * 2**30, total=80 * 2**30))

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> Any:
        return self._answer("nvmlDeviceGetUtilizationRates", SimpleNamespace(gpu=42, memory=7))

    def nvmlDeviceGetTemperature(self, handle: str, sensor: int) -> int:
        assert sensor == self.NVML_TEMPERATURE_GPU
        return self._answer("nvmlDeviceGetTemperature", 61)


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.setattr(gpu_watch, "EVERY_S", 0.0)
    return fake


def supervisor(device: str = "cuda:0", uuid: str | None = UUID) -> Any:
    return Mock(labels=("0", device), card=Mock(gpu_uuid=uuid))


def gpu_series(metrics: Metrics) -> dict[str, float]:
    return {name: value for name, value in series(metrics).items() if name.startswith("pheye_gpu_")}


def test_a_gpu_has_four_gauges(nvml: FakeNvml) -> None:
    async def scenario() -> None:
        metrics = Metrics()
        watch = asyncio.create_task(watch_gpus(metrics, [supervisor()]))
        await until(lambda: gpu_series(metrics) == TOLD)
        watch.cancel()

    asyncio.run(scenario())


def test_a_gpu_whose_worker_died_is_still_watched(nvml: FakeNvml) -> None:
    async def scenario() -> None:
        metrics, worker = Metrics(), supervisor()
        watch = asyncio.create_task(watch_gpus(metrics, [worker]))
        await until(lambda: gpu_series(metrics) == TOLD)
        worker.card = None
        nvml.refused.add("nvmlDeviceGetTemperature")
        await until(lambda: gpu_series(metrics).items() < TOLD.items())
        assert len(gpu_series(metrics)) == 3
        watch.cancel()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("refused", "expected"),
    [
        ("nvmlDeviceGetHandleByUUID", GpuReading()),
        ("nvmlDeviceGetMemoryInfo", GpuReading(None, None, 0.42, 61)),
        ("nvmlDeviceGetUtilizationRates", GpuReading(3 * 2**30, 80 * 2**30, None, 61)),
        ("nvmlDeviceGetTemperature", GpuReading(3 * 2**30, 80 * 2**30, 0.42, None)),
    ],
    ids=["lost", "no memory", "no utilization", "no temperature"],
)
def test_what_a_gpu_does_not_tell_is_left_out(nvml: FakeNvml, refused: str, expected: GpuReading) -> None:
    nvml.refused.add(refused)
    assert Nvml().read(UUID) == expected


def test_a_gauge_of_a_gpu_that_is_lost_goes_away() -> None:
    metrics = Metrics()
    record(metrics, {"cuda:0": GpuReading(1, 4, 0.5, 50), "cuda:1": GpuReading(2, 4, 0.5, 50)})
    record(metrics, {"cuda:0": GpuReading(), "cuda:1": GpuReading(2, 4, 0.5, 50)})
    assert all('device="cuda:1"' in name for name in gpu_series(metrics))
    assert len(gpu_series(metrics)) == 4


@pytest.mark.parametrize("fault", ["package", "driver"])
def test_without_the_package_or_the_driver_the_watch_ends_and_says_why(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    if fault == "package":
        monkeypatch.setitem(sys.modules, "pynvml", None)
    else:
        nvml.refused.add("nvmlInit")
    metrics = Metrics()
    with caplog.at_level(logging.INFO, "pheye.gpu"):
        asyncio.run(asyncio.wait_for(watch_gpus(metrics, [supervisor()]), 30))
    assert "no GPU metrics: " in caplog.text
    assert gpu_series(metrics) == {}


def test_where_no_worker_has_a_gpu_nvml_is_not_even_loaded(nvml: FakeNvml) -> None:
    nvml.refused.add("nvmlInit")  # would end the watch

    async def run_a_while() -> None:
        watch = asyncio.create_task(
            watch_gpus(Metrics(), [supervisor("cpu", None), Mock(labels=("0", "cpu"), card=None)])
        )
        await asyncio.sleep(0.05)
        assert not watch.done()
        watch.cancel()

    asyncio.run(run_a_while())
