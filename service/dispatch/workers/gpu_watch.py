"""GPU metrics of the workers' GPUs from NVIDIA's management library (NVML): memory, utilisation and temperature.

Optional: it needs the package nvidia-ml-py and NVIDIA's driver. Where either is missing, or no worker has a GPU, there
are no such series. NVML is asked in a thread, because a GPU in trouble answers late; a task of the event loop writes
the gauges.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from service.dispatch.workers.supervisor import WorkerSupervisor
from service.metrics.service_metrics import Metrics

EVERY_S = 5.0

logger = logging.getLogger("pheye.gpu")


@dataclass(frozen=True, slots=True)
class GpuReading:
    """The state of one GPU at one moment; None for what it does not tell."""

    memory_used_bytes: int | None = None
    memory_bytes: int | None = None
    utilization_ratio: float | None = None
    temperature_celsius: float | None = None


class Nvml:
    """NVML, loaded and ready to be asked. Its calls may block; any thread, one at a time.

    Raises:
        ImportError: nvidia-ml-py is not installed.
        OSError: there is no driver it could talk to.
    """

    def __init__(self) -> None:
        """Load the library that asks the driver."""
        self._nvml: Any = importlib.import_module("pynvml")
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            raise OSError(str(error)) from None

    def read(self, uuid: str) -> GpuReading:
        """Read a GPU by its UUID; one that is lost, or does not know, tells nothing."""
        nvml = self._nvml
        gpu = self._ask(nvml.nvmlDeviceGetHandleByUUID, uuid)
        if gpu is None:
            return GpuReading()
        memory = self._ask(nvml.nvmlDeviceGetMemoryInfo, gpu)
        rates = self._ask(nvml.nvmlDeviceGetUtilizationRates, gpu)
        temperature = self._ask(nvml.nvmlDeviceGetTemperature, gpu, nvml.NVML_TEMPERATURE_GPU)
        return GpuReading(
            memory and memory.used, memory and memory.total, None if rates is None else rates.gpu / 100, temperature
        )

    def _ask(self, question: Callable[..., Any], *about: Any) -> Any:
        try:
            return question(*about)
        except self._nvml.NVMLError as error:
            logger.debug("%s: %s", question, error)
            return None


async def watch_gpus(metrics: Metrics, supervisors: Sequence[WorkerSupervisor]) -> None:
    """Keep the GPU gauges up to date, until cancelled or NVML turns out not to be there."""
    uuids: dict[str, str] = {}  # by device; a dead worker's GPU is still watched
    nvml: Nvml | None = None
    while True:
        uuids |= {each.labels[1]: each.card.gpu_uuid for each in supervisors if each.card and each.card.gpu_uuid}
        if uuids and nvml is None:
            try:
                nvml = await asyncio.to_thread(Nvml)
            except (ImportError, OSError) as error:
                logger.info("no GPU metrics: %s", error)
                return
        if nvml is not None:
            record(metrics, await asyncio.to_thread(_read_all, nvml, uuids))
        await asyncio.sleep(EVERY_S)


def _read_all(nvml: Nvml, uuids: Mapping[str, str]) -> dict[str, GpuReading]:
    return {device: nvml.read(uuid) for device, uuid in uuids.items()}


def record(metrics: Metrics, readings: Mapping[str, GpuReading]) -> None:
    """Set the gauges of each device; what a GPU does not tell has no series."""
    for device, reading in readings.items():
        for gauge, value in (
            (metrics.gpu_memory_used_bytes, reading.memory_used_bytes),
            (metrics.gpu_memory_bytes, reading.memory_bytes),
            (metrics.gpu_utilization_ratio, reading.utilization_ratio),
            (metrics.gpu_temperature_celsius, reading.temperature_celsius),
        ):
            if value is None:
                with suppress(KeyError):  # older clients of Prometheus mind if it was never there
                    gauge.remove(device)
            else:
                gauge.labels(device).set(value)
