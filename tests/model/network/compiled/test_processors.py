"""The kernels for processors other than this one: without its instructions, and with VNNI in place of it.

Each in a process of its own, because numba decides once for whom it compiles.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("numba")

KERNELS = "tests/model/network/compiled/test_kernels.py"
PROMPTS = "tests/model/network/compiled/test_prompt_attention.py"
VNNI_BY_HAND = "tests/model/network/compiled/vnni_by_hand.py"
SOME = "exact or overflow or definition or fill"


def run(arguments: list[str], **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_plain_instructions_compute_the_same(tmp_path):
    run(
        ["-m", "pytest", KERNELS, PROMPTS, "-k", SOME],
        NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="", NUMBA_CACHE_DIR=str(tmp_path),
    )  # fmt: skip


def test_the_form_for_vnni_computes_the_same_where_its_instruction_is_written_by_hand(tmp_path):
    run(["-m", "pytest", VNNI_BY_HAND, "-k", SOME], NUMBA_CACHE_DIR=str(tmp_path))


def test_a_processor_with_vnni_gets_its_instruction(tmp_path):
    features = "+avx2,+fma,+avx512f,+avx512bw,+avx512vl,+avx512vnni"
    script = (
        "from model.network.compiled import products;"
        "print('vpdpbusd' in next(iter(products.layer.ready.inspect_asm().values())))"
    )
    told = run(
        ["-c", script], NUMBA_CPU_NAME="icelake-server", NUMBA_CPU_FEATURES=features, NUMBA_CACHE_DIR=str(tmp_path)
    )
    assert told.strip() == "True"
