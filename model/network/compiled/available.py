"""Availability of the compiled kernels here, and for which layers they are the fastest form.

Only `usable` imports numba, which takes half a second. Any thread.
"""

from __future__ import annotations

import functools
import logging
import platform
import re
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

import torch

INSTALL = "pip install 'pheye-service[cpu]'"
LEAST = (0, 62)  # version of numba that the extra asks for
logger = logging.getLogger("pheye.kernels")


@functools.cache
def installed() -> bool:
    """Return whether numba is here, which compiles them, in a version that can."""
    try:
        told = version("numba")
    except PackageNotFoundError:
        return False
    found = re.match(r"(\d+)\.(\d+)", told)
    return found is not None and (int(found[1]), int(found[2])) >= LEAST


def usable() -> bool:
    """Return whether numba is installed and can be imported; what hinders it is said once in the log."""
    return installed() and _imports()


@functools.cache
def _imports() -> bool:
    try:
        import_module("model.network.compiled.linear")
    except (ImportError, OSError) as failure:  # such as a numpy that is too new for it, or a library that is missing
        logger.warning("numba is installed but cannot be used, which int8 is faster with: %s", failure)
        return False
    return True


@functools.cache
def multiplies_bytes() -> bool:
    """Return whether the processor adds up products of bytes in one exact instruction, so that oneDNN is good at int8.

    Without it (x86 processors that have AVX2 alone), oneDNN is slow at few rows, and its sums of 16 bits overflow.
    """
    return platform.machine() not in ("x86_64", "AMD64") or bool(torch.cpu._is_vnni_supported())
