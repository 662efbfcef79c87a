"""Triton where it is installed, and the types in which it multiplies.

Torch for CPUs comes without it: then kernels are defined as plain functions that nobody can call. Any thread may import
this.
"""

from __future__ import annotations

from typing import Any

import torch

try:
    import triton
    import triton.language as tl
    from triton import jit
except ModuleNotFoundError:
    triton = tl = None

    def jit(function: Any) -> Any:
        """Return the function as it is."""
        return function


__all__ = ["DOT_TYPES", "INSTALLED", "INTERPRETED", "LOG2_E", "jit", "tl", "triton"]

INSTALLED = triton is not None
INTERPRETED = INSTALLED and type(tl.max).__name__ == "InterpretedFunction"  # by TRITON_INTERPRET=1, when it is imported
LOG2_E = 1.4426950408889634  # the hardware raises 2 to a power, not e

# Types of the operands of a matrix product; sums are always float32.
DOT_TYPES: dict[torch.dtype, Any] = {}
if INSTALLED:
    DOT_TYPES = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}
if INTERPRETED:
    DOT_TYPES[torch.bfloat16] = tl.float32  # the interpreter takes bfloat16 for whole numbers when it multiplies
