"""Programmatic dependent launch (from Hopper on): kernels are launched before those they depend on have ended.

A decode step is hundreds of short kernels one after another, and most of the time between two of them is the launch of
the second. With this it is brought into place while the first still runs: it may read weights, which never change, and
waits in `wait_for_inputs` before it reads anything else. Called by the engine's thread only.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import functools
from typing import Any

import torch

from model.network.kernels.triton_import import jit, tl

_HOPPER = (9, 0)


@jit
def wait_for_inputs(EARLY: tl.constexpr):  # noqa: ANN201 - types are Triton's
    """Wait until everything before this kernel is done and written; the next kernel may then start to launch."""
    if EARLY:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()


def launch_options(device: torch.device) -> dict[str, Any]:
    """Return the options for each launch of a kernel that calls `wait_for_inputs` on this device."""
    return dict(_launch_options(device))


@functools.cache
def _launch_options(device: torch.device) -> tuple[tuple[str, bool], ...]:
    early = device.type == "cuda" and torch.cuda.get_device_capability(device) >= _HOPPER
    return (("EARLY", True), ("launch_pdl", True)) if early else (("EARLY", False),)
