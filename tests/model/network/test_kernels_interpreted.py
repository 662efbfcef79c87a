"""Triton's kernels without a GPU, in processes of their own: interpreted on the CPU, and compiled for a GPU.

Triton decides which when it is imported.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def test_kernels_agree_with_their_twins():
    cases = sorted(HERE.glob("*_cases.py"))
    assert len(cases) > 3
    passes(*cases, TRITON_INTERPRET="1")


def test_kernels_compile_for_a_gpu_that_is_not_here(tmp_path):
    passes(HERE / "compiled_kernels.py", TRITON_CACHE_DIR=str(tmp_path), TRITON_DEFAULT_FP_FUSION="1")


def passes(*cases: Path, **variables: str) -> None:
    # The interpreter of Triton 3.6 cannot count a loop with NumPy 2.4.
    pytest.importorskip("triton", "3.9", reason="no Triton of 3.9 or later is installed to interpret the kernels")
    options = ["-p", "no:cacheprovider", "-p", "triton"]  # without a GPU the model would not import Triton
    command = [sys.executable, "-m", "pytest", *options, "--no-header", "-x", *map(str, cases)]
    run = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout
