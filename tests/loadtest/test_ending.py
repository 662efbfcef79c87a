"""Commands of the load test that are interrupted, or whose output takes no more: one line and an exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.ending import ended
from tests.support.scripted import JSON, serving

ANSWER = (200, JSON, None, b'{"caption": "a"}')


def interrupted() -> int:
    raise KeyboardInterrupt


def gone() -> int:
    raise BrokenPipeError


def test_an_interruption_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(interrupted) == 130
    assert capsys.readouterr().err == "loadtest: interrupted\n"


def test_a_reader_that_has_seen_enough_is_told_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(gone) == 1
    assert capsys.readouterr().err == ""


def test_a_full_disk_behind_a_storm_s_output_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"image")
    with serving(*[ANSWER] * 4) as server, open("/dev/full", "w", encoding="utf-8") as full:
        words = [sys.executable, "-m", "loadtest.storm", server.url, str(tmp_path / "image"), "--requests", "1"]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "loadtest: [Errno 28] No space left on device\n")
