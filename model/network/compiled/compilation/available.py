"""Availability of the compiled kernels here, and for which layers they are the fastest form.

Only `usable` imports numba, which takes half a second; nothing here needs torch before. Any thread.
"""

from __future__ import annotations

import functools
import logging
import os
import re
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from model.config import PheyeConfig
from model.machine.cores import WIDE
from model.machine.processor import processor_fuses_floats, processor_multiplies_bytes

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


def may_be_kept(module: str) -> bool:
    """Return whether something of a module's has been compiled and kept on disk, if perhaps by an older version.

    It looks where `jit.cache_folder` keeps it, and is for whoever would import numba for nothing else.
    """
    try:
        base = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return next(Path(base, "pheye", "kernels").rglob(f"{module}.*.nbi"), None) is not None
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        return False


@functools.cache
def multiplies_bytes() -> bool:
    """Return whether oneDNN is good at int8 here; see `processor_multiplies_bytes`."""
    return processor_multiplies_bytes()


@functools.cache
def fuses_floats() -> bool:
    """Return whether compiled code in float32 is the faster one here; see `processor_fuses_floats`."""
    return processor_fuses_floats()


def keeps_second_form(config: PheyeConfig, dtype: str) -> bool:
    """Return whether weights are held twice here, for compiled code and for torch.

    Those of a small model in float32 are, and in int8 those that decode steps read, on processors where oneDNN is good
    at many rows.
    """
    if not installed():
        return False
    if dtype == "float32":
        return config.decoder.width < WIDE and fuses_floats()
    return dtype in ("int8", "int4") and multiplies_bytes()
