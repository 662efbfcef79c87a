"""Description of this machine, for people who compare numbers, and its peak memory.

Asks torch and the operating system; any thread.
"""

from __future__ import annotations

import os
import platform
import resource
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from model.machine.cores import usable_cores
from model.machine.processor import MATRIX_FLAGS, processor


@dataclass(frozen=True, slots=True)
class Machine:
    """Properties of a machine that measured times depend on.

    Attributes:
        cpu: the processor's name.
        cores: those this process may use.
        threads: those torch was told to use.
        flags: of the processor's instructions those that multiply matrices.
        memory_bytes: of the whole machine.
        accelerator: name of the GPU that computed, or None.
        torch: its version, with the CUDA version it was built for if any.
    """

    cpu: str
    cores: int
    threads: int
    flags: tuple[str, ...]
    memory_bytes: int
    accelerator: str | None
    torch: str
    python: str


def this_machine(device: torch.device) -> Machine:
    """Describe this machine, computing on that device."""
    cpu, flags = processor()
    return Machine(
        cpu=cpu,
        cores=usable_cores(),
        threads=torch.get_num_threads(),
        flags=tuple(flag for flag in MATRIX_FLAGS if flag in flags),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        accelerator=torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        torch=torch.__version__,
        python=platform.python_version(),
    )


def reset_peak(device: torch.device) -> None:
    """Reset the peak memory counter, where the system lets a process do so."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return  # the peak is then that of the whole process


def peak_bytes(device: torch.device) -> int:
    """Return the peak memory since `reset_peak`: the device's as torch knows it, or this process's resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # Not getrusage's first: that also remembers what `reset_peak` cannot take back.
    return resident_peak_bytes("self") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if platform.system() == "Darwin" else 1024
    )


def resident_peak_bytes(process: int | str) -> int:
    """Return the most resident memory that a process has had, mapped files included; 0 where no system tells it.

    Args:
        process: its number, or `self`.
    """
    with suppress(OSError, StopIteration, ValueError):
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8", errors="replace").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return 0
