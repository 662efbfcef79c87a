"""Triton's interpreter runs the kernels on the CPU, in processes of their own: it is on from Triton's import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("cases", sorted(HERE.glob("*_cases.py")), ids=lambda path: path.stem)
def test_kernels_agree_with_their_twins(cases):
    # The interpreter of Triton 3.6 cannot count a loop with NumPy 2.4.
    pytest.importorskip("triton", "3.9", reason="no Triton of 3.9 or later is installed to interpret the kernels")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--no-header", "-x", str(cases)]
    run = subprocess.run(command, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout
