"""The processor as the operating system tells it: its name, and which instructions it has.

Needs no torch, so that a command can ask before it waits for it. Any thread.
"""

from __future__ import annotations

import platform
from pathlib import Path

# Of the processor's instructions those that multiply matrices.
MATRIX_FLAGS = (
    "avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimddp", "bf16",
)  # fmt: skip
_BYTE_FLAGS = frozenset({"avx512_vnni", "avx_vnni"})
_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})  # x86, x86 with tiles, Arm


def processor() -> tuple[str, frozenset[str]]:
    """Return the processor's name and flags as Linux tells them; elsewhere what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine(), frozenset()
    fields = {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = fields.get("flags") or fields.get("features") or ""
    return fields.get("model name") or platform.machine(), frozenset(flags.split())


def processor_multiplies_bytes() -> bool:
    """Return whether the processor adds up products of bytes in one exact instruction: whether oneDNN is good at int8.

    Without it (x86 processors that have AVX2 or AVX-512 without VNNI, and those of which nothing is known), oneDNN is
    slow at few rows, and its sums of 16 bits overflow.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        return True
    return not _BYTE_FLAGS.isdisjoint(processor()[1])


def processor_fuses_floats() -> bool:
    """Return whether the processor multiplies and adds vectors of floats in one instruction.

    On an x86 processor without it (one before 2013, or a virtual machine of a generic model), or of which nothing is
    known, each such number is a call of a function.
    """
    return platform.machine() not in ("x86_64", "AMD64") or "fma" in processor()[1]


def processor_multiplies_bf16() -> bool:
    """Return whether the processor has bfloat16 matrix instructions; where nothing is known, float32 is right."""
    return not _BF16_FLAGS.isdisjoint(processor()[1])
