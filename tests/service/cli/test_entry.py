"""SIGTERM before the service can drain: a real process, ended while it imports, also as process 1."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service.cli import entry
from tests.support.serving import wait_until

PHEYE = [sys.executable, "-c", "from service.cli.entry import main; main()", "serve", "--port", "0"]
OWN_PROCESS_TABLE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
MAY_UNSHARE = subprocess.run([*OWN_PROCESS_TABLE, "true"], capture_output=True, check=False).returncode == 0


@contextmanager
def started(command: list[str], log_file: Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    with log_file.open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def catches_sigterm(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def ignore_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def interruptible() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell has its jobs in the background ignore it


@pytest.mark.parametrize("before", [None, ignore_sigterm], ids=["as usual", "started with the signal ignored"])
def test_a_sigterm_while_the_service_imports_ends_it_by_the_signal(tmp_path: Path, before: Any) -> None:
    with started(PHEYE, tmp_path / "log", preexec_fn=before) as process:
        wait_until(lambda: catches_sigterm(process.pid))
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == -signal.SIGTERM
    assert (tmp_path / "log").read_text() == "", "it had come as far as to say something"


@pytest.mark.parametrize("words", [PHEYE, [*PHEYE[:3], "caption", "photo.jpg"]], ids=["serve", "caption"])
def test_an_interrupt_while_a_command_imports_ends_it_without_a_word(words: list[str], tmp_path: Path) -> None:
    with started(words, tmp_path / "log", preexec_fn=interruptible) as process:
        wait_until(lambda: catches_sigterm(process.pid))
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == -signal.SIGINT
    assert (tmp_path / "log").read_text() == ""


def test_an_interrupt_before_a_command_is_reached_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("service.cli.main.main", interrupted)
    monkeypatch.setattr(sys, "argv", ["pheye", "info"])
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            entry.main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == 130


@pytest.mark.skipif(not MAY_UNSHARE, reason="needs the right to start a process table of its own")
def test_as_process_1_it_ends_with_the_status_of_a_sigterm(tmp_path: Path) -> None:
    with started([*OWN_PROCESS_TABLE, *PHEYE], tmp_path / "log") as outside:
        first = int(wait_until(Path(f"/proc/{outside.pid}/task/{outside.pid}/children").read_text))
        wait_until(lambda: catches_sigterm(first))
        os.kill(first, signal.SIGTERM)
        assert outside.wait(20) == 128 + signal.SIGTERM
    assert (tmp_path / "log").read_text() == ""


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["ask", "photo.jpg", "--questions", "-"], 2, "standard input: there is no question in it"),
        (["caption", "-"], 2, "-: standard input is empty"),
        (["mcp", "--server", "http://127.0.0.1:9"], 0, ""),
    ],
    ids=["questions", "image", "agent"],
)
def test_a_closed_standard_input_is_an_empty_one(words: list[str], code: int, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "service.cli.entry", *words],
        preexec_fn=lambda: os.close(0),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (code, True, False), done.stderr
