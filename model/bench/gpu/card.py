"""Description of the machine and its GPU, and the best rates it can reach.

One thread.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from importlib.metadata import PackageNotFoundError, version

import torch

from model.bench.gpu.item import Data, Item, PartInput
from model.bench.machine import this_machine
from model.bench.roofline.ceilings import PROBES, ProbeSize, measure_ceilings
from model.bench.timing import Stopwatch
from model.checkpoint.checkpoint import read_config
from model.runtime.hardware import resolve_device

_PACKAGES = ("torch", "triton", "transformers", "safetensors", "peft", "numpy", "fastapi", "pydantic", "uvicorn")
_ASKED = "name,driver_version,memory.total,memory.used,clocks.max.sm,clocks.max.memory,power.limit,temperature.gpu"
_SMALL = ProbeSize(buffer_bytes=1 << 26, square=512)  # enough for a rehearsal


def items(given: PartInput) -> Iterator[Item]:
    """Describe the card, then measure its rates in both number formats."""
    yield Item("card", partial(card, given.device), 40.0)
    for dtype in ("bfloat16", "float32"):
        yield Item(f"rates {dtype}", partial(rates, given, dtype), 60.0)


def card(name: str) -> Data:
    """Return machine, card, driver and versions."""
    device = resolve_device(name)
    found = asdict(this_machine(device)) | {"versions": {package: _version(package) for package in _PACKAGES}}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {
            "cuda": torch.version.cuda,
            "gpu_memory_bytes": properties.total_memory,
            "multiprocessors": properties.multi_processor_count,
            "capability": f"{properties.major}.{properties.minor}",
            "nvidia_smi": _nvidia_smi(),
        }
    return found


def rates(given: PartInput, dtype: str) -> Data:
    """Measure memory bandwidth and matrix products per second."""
    device, model = resolve_device(given.device), given.models[0]
    size = PROBES["cuda"] if device.type == "cuda" else _SMALL
    return asdict(measure_ceilings(model, read_config(model), device, dtype, size, watch_of(device)))


def watch_of(device: torch.device) -> Stopwatch:
    """Return a stopwatch that waits for the device."""
    if device.type == "cuda":
        return Stopwatch(settle=lambda: torch.cuda.synchronize(device))
    return Stopwatch()


def exact_float32() -> None:
    """Compute float32 in full precision: by default torch convolves in TF32, with ten bits of mantissa."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _nvidia_smi() -> dict[str, str]:
    """Ask the driver about the card; empty where its tool is missing."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return {}
    asked = [tool, f"--query-gpu={_ASKED}", "--format=csv,noheader"]
    told = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=20)  # noqa: S603 - no user text
    return dict(zip(_ASKED.split(","), (part.strip() for part in told.stdout.split(",")), strict=False))
