"""The unit of systemd, as systemd itself checks it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from service.api.connections.shutdown.graceful import HARD_EXIT_S
from service.configuration.settings import Settings

UNIT = Path(__file__).parents[2] / "deploy/systemd/pheye.service"
TEXT = UNIT.read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path):
    copy = tmp_path / UNIT.name
    copy.write_text(TEXT.replace("/opt/pheye/bin/pheye", "/bin/true"), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_systemd_waits_longer_than_a_drain_takes():
    settings = Settings()
    wait_s = int(re.search(r"^TimeoutStopSec=(\d+)$", TEXT, re.MULTILINE)[1])
    assert wait_s > settings.drain_delay_s + settings.drain_grace_s + HARD_EXIT_S
