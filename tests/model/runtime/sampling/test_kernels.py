"""Triton's interpreter runs the sampling kernels on the CPU, in a process of its own: it is on from Triton's import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).with_name("test_device.py")


def test_the_kernels_pass_what_their_naive_twin_passes() -> None:
    pytest.importorskip("triton", reason="Triton is not installed, which interprets the kernels on the CPU")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--no-header",
        "-x",
        "-k",
        "kernels",
        str(CASES),
    ]
    run = subprocess.run(
        command, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout
    assert "skipped" not in run.stdout
