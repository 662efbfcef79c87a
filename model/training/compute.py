"""Options of the computation of a run, and what they come to on this machine: threads, processes, number format.

Sets torch's thread count, which belongs to the whole process. Called by each training process's main thread.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from model.checkpoint.sources import CheckpointError
from model.machine.cores import usable_cores
from model.runtime.hardware import multiplies_bf16, resolve_device
from model.training.learner import Passes

PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True, slots=True)
class ComputeOptions:
    """Options of the computation; none of them changes what is learned, up to rounding.

    Attributes:
        precision: `auto`, `float32` or `bfloat16`; auto is bfloat16 where the hardware multiplies it.
        compiled: compile the layers.
        recompute: gradient checkpointing.
        workers: processes that prepare batches ahead, for each training process; None for as many as suit the device.
        threads: CPU threads of one operation; 0 shares the cores between the training processes.
    """

    precision: str = "auto"
    compiled: bool = False
    recompute: bool = False
    workers: int | None = None
    threads: int = 0


def take_threads(compute: ComputeOptions) -> None:
    """Set the number of CPU threads of an operation, for the whole process."""
    shared = usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    torch.set_num_threads(compute.threads or max(1, shared))


def workers_of(compute: ComputeOptions) -> int:
    """Return how many processes prepare batches: as asked, else one, or beside a GPU every core but one."""
    if compute.workers is not None:
        return compute.workers
    shared = usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, shared - 1) if torch.cuda.is_available() else 1


def passes_of(compute: ComputeOptions) -> Passes:
    """Return the options of the forward passes, with the precision asked for, or the one that suits the hardware.

    Raises:
        CheckpointError: there is no such precision.
    """
    if compute.precision not in PRECISIONS:
        raise CheckpointError(f"precision: {compute.precision!r} is not one of {', '.join(PRECISIONS)}")
    automatic = torch.bfloat16 if multiplies_bf16(resolve_device("auto")) else torch.float32
    dtype = automatic if compute.precision == "auto" else getattr(torch, compute.precision)
    return Passes(dtype, compute.compiled, compute.recompute)
