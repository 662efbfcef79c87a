"""Processor cores that a process may use, and how many of them a model's operations are worth. Pure; any thread."""

from __future__ import annotations

import os

from model.config import PheyeConfig
from model.machine.control_groups import cores_left

WIDE = 1024  # width of a decoder from which threads pay
LONE_THREADS = 2  # that encode for a narrow model when other cores would be idle; more were never measured


def usable_cores() -> int:
    """Return the number of cores this process may use: the scheduler's, within a container's CPU quota.

    torch sees only the first; with a quota below it, its threads would be throttled in turns.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    left = cores_left()
    return cores if left is None else max(1, min(cores, int(left)))


def compute_threads(config: PheyeConfig, workers: int = 1) -> int:
    """Return the number of threads for a model's operations, where `workers` processes share the cores.

    The products of a narrow model are over before a second thread has begun, and threads that wait take cores away from
    whoever answers the clients.
    """
    return max(1, usable_cores() // workers) if config.decoder.width >= WIDE else 1


def lone_threads(config: PheyeConfig) -> int:
    """Return how many threads may encode an image of a narrow model while it is alone and no other worker has any."""
    return 1 if config.decoder.width >= WIDE else min(LONE_THREADS, usable_cores())
