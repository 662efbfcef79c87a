"""Availability of the compiled kernels here, and for which layers they are the fastest form.

Asks without importing numba, which takes half a second. Any thread.
"""

from __future__ import annotations

import functools
import platform
from importlib.util import find_spec

import torch

INSTALL = "pip install 'pheye-service[cpu]'"


@functools.cache
def installed() -> bool:
    """Return whether numba is here, which compiles them."""
    return find_spec("numba") is not None


@functools.cache
def multiplies_bytes() -> bool:
    """Return whether the processor adds up products of bytes in one exact instruction, so that oneDNN is good at int8.

    Without it (x86 processors that have AVX2 alone), oneDNN is slow at few rows, and its sums of 16 bits overflow.
    """
    return platform.machine() not in ("x86_64", "AMD64") or bool(torch.cpu._is_vnni_supported())
