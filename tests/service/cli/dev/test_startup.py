"""`pheye dev startup`: a row of times, and no server that stays."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import trustme

from tests.support.serving import wait_until

COMMAND = [sys.executable, "-m", "service.cli.entry", "dev", "startup", "--model", "random:pheye-micro"]


def test_starts_are_told_as_a_row_of_a_table_whatever_a_server_s_environment_says(tmp_path: Path) -> None:
    made = trustme.CA().issue_cert("localhost")
    made.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    secured = os.environ | dict.fromkeys(("PHEYE_TLS_CERT_FILE", "PHEYE_TLS_KEY_FILE"), str(tmp_path / "both.pem"))
    secured |= {"PHEYE_LOG_LEVEL": "warning", "PHEYE_LOG_FORMAT": "json", "PHEYE_HOST": "::1"}
    done = subprocess.run(
        [*COMMAND, "--turns", "1"], capture_output=True, text=True, timeout=120, check=True, env=secured
    )
    *_, row = done.stdout.splitlines()
    name, dtype, cache, *seconds, peak = (cell.strip() for cell in row.strip("|").split("|"))
    assert (name, dtype, cache) == ("random:pheye-micro", "auto", "warm")
    alive_s, ready_s, load_s = (float(cell.split(" ")[0]) for cell in seconds)
    assert 0 <= load_s < ready_s  # told to a tenth
    assert 0 < alive_s <= ready_s
    assert re.fullmatch(r"\d+\.\d GB", peak)


def test_who_ends_it_ends_its_server_too() -> None:
    command = subprocess.Popen([*COMMAND, "--turns", "50"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: psutil.Process(command.pid).children())
    [server] = psutil.Process(command.pid).children()
    wait_until(server.children)
    started = [server, *server.children(recursive=True)]
    command.send_signal(signal.SIGTERM)
    assert command.wait(60) != 0
    _, left = psutil.wait_procs(started, 30)
    assert not left
