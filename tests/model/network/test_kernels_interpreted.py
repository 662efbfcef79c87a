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
    pytest.importorskip("triton", reason="Triton is not installed, which interprets the kernels on the CPU")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--no-header", "-x", str(cases)]
    run = subprocess.run(command, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout
